"""
Opening and sealing what records and folders hold, with the keys in hand. No IO, no policy.

    record key   = AES-256-GCM(folder key, RK)        Secrets Manager form: no associated data
    payload      = AES-256-GCM(RK, padded JSON)       Secrets Manager form: no associated data
    settings     = AES-256-GCM(derive(RK, "settings"), padded JSON, aad = record)
    folder name  = AES-256-GCM(derive(FK, "folder-name"), JSON, aad = folder)

What the Secrets Manager form does not bind, the seal around it does: payload hash, record,
folder, revision, and a commitment to RK.
"""

from __future__ import annotations

import contextlib
import hmac
import json
from collections.abc import Iterator

from commander.authority.refusals import Code
from commander.crypto import aead
from commander.crypto.encoding import encode
from commander.crypto.kdf import derive
from commander.errors import InvalidInput, Refused, SealBroken
from commander.ksm import folder_names
from commander.ksm.writes import CreateFolder, Write
from commander.wire.device_writes import open_write
from commander.wire.pam import PamSettings, parse_settings, serialize_settings
from commander.wire.records import RecordData, parse_record
from commander.wire.seals import (
    FolderSeal,
    FolderVersion,
    RecordSeal,
    RecordVersion,
    SettingsVersion,
    record_commitment,
)

MAX_NAME = 128


def open_record_key(folder_key: bytes, version: RecordVersion, seal: RecordSeal) -> bytes:
    """Unwrap the record key and check the commitment. Raises Refused(record-tampered)."""
    try:
        record_key = aead.open_sealed(folder_key, version.record_key)
    except SealBroken:
        raise _tampered(seal.record) from None
    if version.write is None:
        return check_commitment(record_key, seal)
    # Secrets Manager devices commit to no key; their signature over the payload has to do.
    if len(record_key) != aead.KEY_BYTES:
        raise _tampered(seal.record)
    return record_key


def check_commitment(record_key: bytes, seal: RecordSeal) -> bytes:
    """Return the key when the seal commits to it. Raises Refused(record-tampered)."""
    expected = record_commitment(record_key, seal.record, seal.revision)
    if len(record_key) != aead.KEY_BYTES or not hmac.compare_digest(expected, seal.commitment):
        raise _tampered(seal.record)
    return record_key


def open_payload(record_key: bytes, version: RecordVersion, seal: RecordSeal) -> RecordData:
    """Decrypt and parse a record. Raises Refused(record-tampered)."""
    try:
        return parse_record(aead.open_sealed(record_key, version.payload))
    except (SealBroken, InvalidInput):
        raise _tampered(seal.record) from None


def seal_payload(record_key: bytes, record: RecordData) -> bytes:
    """Encrypt a record's JSON."""
    return aead.seal(record_key, record.serialize())


def open_settings(record_key: bytes, record: str, version: SettingsVersion) -> PamSettings:
    """Decrypt and parse PAM settings. Raises Refused(settings-tampered)."""
    try:
        key = derive(record_key, "settings")
        return parse_settings(aead.open_sealed(key, version.payload, encode("settings", record)))
    except (SealBroken, InvalidInput):
        raise Refused(
            f"the PAM settings of record {record} do not open", code=Code.SETTINGS_TAMPERED
        ) from None


def seal_settings(record_key: bytes, record: str, settings: PamSettings) -> bytes:
    """Encrypt PAM settings."""
    key = derive(record_key, "settings")
    return aead.seal(key, serialize_settings(settings), encode("settings", record))


def open_folder_name(
    folder_key: bytes, version: FolderVersion, seal: FolderSeal
) -> tuple[str, str]:
    """Name and parent folder UID ("" at the top of its domain). Raises Refused(seal-broken)."""
    if version.write is None:
        return _open_own_name(folder_key, version.payload, seal)
    made = open_write(version.origin or version.write)
    for key in _sdk_keys(folder_key, made, seal):
        try:
            name = folder_names.open_name(key, version.payload)
            break
        except SealBroken:
            continue
    else:
        raise _nameless(seal)
    if version.placed:
        return name, _open_own_name(folder_key, version.placed, seal)[1]
    if not isinstance(made, CreateFolder):
        raise _nameless(seal)
    return name, made.parent


def _sdk_keys(folder_key: bytes, made: Write, seal: FolderSeal) -> Iterator[bytes]:
    """The keys a device may have had for a folder's name: the domain's, ours, the maker's."""
    if seal.folder == seal.domain:
        yield folder_key
        return
    # Ours once the vault has renamed or moved it, the maker's before.
    yield folder_names.sub_folder_key(folder_key, seal.folder)
    if isinstance(made, CreateFolder):
        with contextlib.suppress(SealBroken):
            yield folder_names.open_key(folder_key, made.key)


def _open_own_name(folder_key: bytes, payload: bytes, seal: FolderSeal) -> tuple[str, str]:
    try:
        key = derive(folder_key, "folder-name")
        raw = json.loads(aead.open_sealed(key, payload, encode("folder", seal.folder)))
        name, parent = raw["name"], raw["parent"]
    except (SealBroken, ValueError, KeyError, TypeError):
        name = parent = None
    if not isinstance(name, str) or not isinstance(parent, str) or len(name) > MAX_NAME:
        raise _nameless(seal)
    return name, parent


def _nameless(seal: FolderSeal) -> Refused:
    return Refused(f"the name of folder {seal.folder} does not open", code=Code.SEAL_BROKEN)


def seal_folder_name(folder_key: bytes, folder: str, name: str, parent: str) -> bytes:
    """Encrypt a folder's name and place, padded so that its length tells little."""
    if not 0 < len(name) <= MAX_NAME:
        raise InvalidInput("a folder name has 1 to 128 characters")
    raw = json.dumps({"name": name, "parent": parent}).encode()
    key = derive(folder_key, "folder-name")
    return aead.seal(key, raw + b" " * (-len(raw) % 128), encode("folder", folder))


def tunnel_seed(record_key: bytes) -> bytes:
    """The secret that a tunnel's keys need besides the conversation's; no field holds it."""
    return derive(record_key, "tunnel-seed")


def _tampered(record: str) -> Refused:
    return Refused(
        f"record {record} does not open as its seal says: it was altered on the server",
        code=Code.RECORD_TAMPERED,
        hint="do not use it; tell an administrator",
    )
