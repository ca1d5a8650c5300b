"""
Seals: what an author signed about a record, its PAM settings, a folder name or a key grant.

A version travels as the sealed ciphertext plus `Signed{body, signature}`; the author is a device
(records, settings, folders) or a user (key grants). What a Secrets Manager device wrote carries its
signed request (`write`); then the server fills in the seal's body, and the request's digest stands
in place of the signature. Everyone who reads checks with the same pure
functions here: hash, chain against the pinned revision, signature, and `decide` at the log
position the author saw.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TypeVar

from commander.authority.decide import Action, Refuse, decide
from commander.authority.refusals import Code
from commander.authority.state import State
from commander.codec import Message, decode, encode
from commander.crypto.kdf import derive, sha256
from commander.crypto.signing import SigningKey, VerifyKey
from commander.errors import InvalidInput, Refused, SealBroken
from commander.ids import DeviceUid, FolderUid, RecordUid, UserUid
from commander.ksm.writes import CreateFolder
from commander.wire import device_writes
from commander.wire.device_writes import NO_KEYS, DeviceAuthor, DeviceWrite

SEAL_LIMIT = 1024
RECORD_LIMIT = 1024 * 1024
SETTINGS_LIMIT = 64 * 1024
FOLDER_LIMIT = 4 * 1024
GRANT_LIMIT = 4 * 1024
FIRST_PREVIOUS = bytes(32)
_M = TypeVar("_M", bound=Message)
_V = TypeVar("_V", "RecordSeal", "SettingsSeal", "FolderSeal")


class Signed(Message, frozen=True):
    """The exact bytes that were signed, and the signature."""

    body: bytes
    signature: bytes

    def digest(self) -> bytes:
        """What the next revision names as its predecessor."""
        return sha256(encode(self))


class RecordSeal(Message, frozen=True):
    """One revision of a record; a deleted record ends with a seal whose payload is empty."""

    record: RecordUid
    folder: FolderUid
    inner_folder: str
    revision: int
    prev_hash: bytes
    payload_hash: bytes
    commitment: bytes
    author: DeviceUid
    log_seq: int
    time: int
    deleted: bool


class SettingsSeal(Message, frozen=True):
    """One revision of a record's PAM settings."""

    record: RecordUid
    folder: FolderUid
    revision: int
    prev_hash: bytes
    payload_hash: bytes
    author: DeviceUid
    log_seq: int
    time: int


class FolderSeal(Message, frozen=True):
    """One revision of a folder's name and place; `domain` is itself for a domain folder."""

    folder: FolderUid
    domain: FolderUid
    revision: int
    prev_hash: bytes
    payload_hash: bytes
    author: DeviceUid
    log_seq: int
    time: int
    deleted: bool


class GrantSeal(Message, frozen=True):
    """A folder or application key handed to a user: HPKE box, who gave it, when."""

    kind: str  # "folder" | "application"
    object: str
    epoch: int
    recipient: UserUid
    box_hash: bytes
    granter: UserUid
    log_seq: int
    time: int


class RecordVersion(Message, frozen=True, omit_defaults=True):
    """A record as stored: seal, record key under the folder key, payload under the record key."""

    seal: Signed
    record_key: bytes
    payload: bytes
    write: DeviceWrite | None = None


class SettingsVersion(Message, frozen=True):
    """PAM settings as stored, under the record key."""

    seal: Signed
    payload: bytes


class FolderVersion(Message, frozen=True, omit_defaults=True):
    """
    A folder name as stored, under the domain folder's key.

    A device's version has its own payload form (`ksm.folder_names`): `origin` is the request that
    made the folder, when a device did, and gives its key; `placed` is the newest payload of our
    own form before, and gives its place.
    """

    seal: Signed
    payload: bytes
    write: DeviceWrite | None = None
    origin: DeviceWrite | None = None
    placed: bytes = b""


class KeyGrant(Message, frozen=True):
    """A key grant as stored."""

    seal: Signed
    box: bytes


_PURPOSE: dict[type[Message], str] = {
    RecordSeal: "record-seal",
    SettingsSeal: "settings-seal",
    FolderSeal: "folder-seal",
    GrantSeal: "grant-seal",
}
Seal = RecordSeal | SettingsSeal | FolderSeal | GrantSeal


def sign_seal(seal: Seal, key: SigningKey) -> Signed:
    """Sign a seal with the author's key."""
    body = encode(seal)
    return Signed(body, key.sign(_PURPOSE[type(seal)], body))


def record_commitment(record_key: bytes, record: str, revision: int) -> bytes:
    """Bind a revision to its record key, since AES-GCM alone does not commit to a key."""
    return derive(record_key, "record-commitment", record, revision)


def read_record_seal(signed: Signed) -> RecordSeal:
    """Parse without verifying. Raises Refused(seal-broken)."""
    return _read(RecordSeal, signed)


def read_settings_seal(signed: Signed) -> SettingsSeal:
    """Parse without verifying. Raises Refused(seal-broken)."""
    return _read(SettingsSeal, signed)


def read_folder_seal(signed: Signed) -> FolderSeal:
    """Parse without verifying. Raises Refused(seal-broken)."""
    return _read(FolderSeal, signed)


def read_grant_seal(signed: Signed) -> GrantSeal:
    """Parse without verifying. Raises Refused(seal-broken)."""
    return _read(GrantSeal, signed)


def verify_record(
    state: State,
    version: RecordVersion,
    *,
    pinned: RecordSeal | None,
    pinned_hash: bytes = FIRST_PREVIOUS,
    device_keys: Mapping[str, bytes] = NO_KEYS,
    ancestors: Collection[str] | None = None,
) -> RecordSeal:
    """
    Accept a revision: payload hash, author's signature and right, chain after the pinned one.

    `pinned` None means never seen: any revision is a valid beginning. The same revision again
    must be the same seal. Moving a record needs edit right in both folders. Raises Refused
    (seal-broken, seal-revision, seal-author). The caller checks the commitment when it opens it.
    For writes of devices: `device_keys` as in `device_writes.author_of`, `ancestors` as in
    `device_writes.check_record_content`.
    """
    seal = read_record_seal(version.seal)
    _check_payload(seal.payload_hash, version.payload, RECORD_LIMIT)
    if seal.deleted != (version.payload == b""):
        raise Refused(f"record {seal.record} is not what its seal says", code=Code.SEAL_BROKEN)
    if version.write is None:
        _check_author(state, version.seal, seal, Action.EDIT, seal.folder)
    else:
        _check_device(state, version.seal, version.write, seal, seal.folder, device_keys)
        device_writes.check_record_content(
            device_writes.open_write(version.write),
            record=seal.record,
            folder=seal.folder,
            inner_folder=seal.inner_folder,
            revision=seal.revision,
            record_key=version.record_key,
            payload=version.payload,
            ancestors=ancestors,
        )
    if pinned is not None:
        _check_chain(version.seal, seal, pinned, pinned_hash)
        if pinned.record != seal.record:
            raise Refused(
                f"record {seal.record} stands in for {pinned.record}", code=Code.SEAL_BROKEN
            )
        if version.write is not None:
            _check_unmoved(seal, pinned)
        elif pinned.folder != seal.folder:
            _check_author(state, version.seal, seal, Action.EDIT, pinned.folder)
    return seal


def _check_unmoved(seal: RecordSeal, pinned: RecordSeal) -> None:
    """A device moves nothing; after a gap somebody else may have, in a revision not seen here."""
    same = (pinned.folder, pinned.inner_folder) == (seal.folder, seal.inner_folder)
    if not same and seal.revision <= pinned.revision + 1:
        raise Refused(f"a device can't move record {seal.record}", code=Code.SEAL_BROKEN)


def verify_settings(
    state: State,
    version: SettingsVersion,
    *,
    record: RecordSeal,
    pinned: SettingsSeal | None,
    pinned_hash: bytes = FIRST_PREVIOUS,
) -> SettingsSeal:
    """
    Accept PAM settings: as `verify_record`, with the CONFIGURE policy.

    Use-right on linked records is the caller's to check once the settings are open.
    """
    seal = read_settings_seal(version.seal)
    _check_payload(seal.payload_hash, version.payload, SETTINGS_LIMIT)
    if seal.record != record.record:
        raise Refused(
            f"settings of {seal.record} stand in for {record.record}", code=Code.SEAL_BROKEN
        )
    _check_author(state, version.seal, seal, Action.CONFIGURE, seal.folder)
    if pinned is not None:
        _check_chain(version.seal, seal, pinned, pinned_hash)
    return seal


def verify_folder(
    state: State,
    version: FolderVersion,
    *,
    pinned: FolderSeal | None,
    pinned_hash: bytes = FIRST_PREVIOUS,
    device_keys: Mapping[str, bytes] = NO_KEYS,
    ancestors: Collection[str] | None = None,
) -> FolderSeal:
    """Accept a folder name: as `verify_record`, with edit right in the domain folder."""
    seal = read_folder_seal(version.seal)
    _check_payload(seal.payload_hash, version.payload, FOLDER_LIMIT)
    if version.write is None:
        _check_author(state, version.seal, seal, Action.EDIT, seal.domain)
    else:
        _check_device(state, version.seal, version.write, seal, seal.domain, device_keys)
        _check_device_folder(state, version, version.write, seal, device_keys, ancestors)
    if pinned is not None:
        _check_chain(version.seal, seal, pinned, pinned_hash)
        if (pinned.folder, pinned.domain) != (seal.folder, seal.domain):
            raise Refused(
                f"folder {seal.folder} stands in for {pinned.folder}", code=Code.SEAL_BROKEN
            )
    return seal


def verify_grant(state: State, grant: KeyGrant) -> GrantSeal:
    """
    Accept a key grant: signed by a user who could share the folder (or owned the application).

    Raises Refused (seal-broken, seal-author).
    """
    seal = read_grant_seal(grant.seal)
    _check_payload(seal.box_hash, grant.box, GRANT_LIMIT)
    user = state.users.get(seal.granter, seal.log_seq)
    if user is None or seal.log_seq > state.seq:
        raise Refused(
            f"granter {seal.granter} of {seal.object} is not known", code=Code.SEAL_AUTHOR
        )
    _verify(grant.seal, seal, user.sign_key)
    if seal.kind == "folder":
        decision = decide(
            state, seal.granter, Action.SHARE, seal.object, now=seal.time, at=seal.log_seq
        )
        entitled = not isinstance(decision, Refuse)
    else:
        application = state.applications.get(seal.object, seal.log_seq)
        entitled = application is not None and application.owner == seal.granter
    if not entitled:
        raise Refused(
            f"{seal.granter} could not hand out the key of {seal.object}", code=Code.SEAL_AUTHOR
        )
    return seal


def grant_context(seal: GrantSeal) -> tuple[str, str, int, str, str]:
    """The HPKE context of a grant's box (purpose "key-grant")."""
    return seal.kind, seal.object, seal.epoch, seal.recipient, seal.granter


def _read(kind: type[_M], signed: Signed) -> _M:
    try:
        return decode(kind, signed.body, limit=SEAL_LIMIT)
    except InvalidInput:
        raise Refused("a seal is malformed", code=Code.SEAL_BROKEN) from None


def _verify(signed: Signed, seal: Seal, key: bytes) -> None:
    try:
        VerifyKey(key).verify(signed.signature, _PURPOSE[type(seal)], signed.body)
    except (SealBroken, InvalidInput):
        raise Refused("a seal's signature does not verify", code=Code.SEAL_BROKEN) from None


def _check_payload(expected: bytes, payload: bytes, limit: int) -> None:
    if len(payload) > limit or sha256(payload) != expected:
        raise Refused("a payload is not the one that was sealed", code=Code.SEAL_BROKEN)


def _check_author(
    state: State,
    signed: Signed,
    seal: RecordSeal | SettingsSeal | FolderSeal,
    action: Action,
    folder: str,
) -> None:
    device = state.devices.get(seal.author, seal.log_seq)
    if device is None or seal.log_seq > state.seq:
        raise Refused(f"author {seal.author} is not a known device", code=Code.SEAL_AUTHOR)
    _verify(signed, seal, device.sign_key)
    decision = decide(state, seal.author, action, folder, now=seal.time, at=seal.log_seq)
    if isinstance(decision, Refuse):
        raise Refused(f"author {seal.author}: {decision.reason}", code=Code.SEAL_AUTHOR)


def _check_device(
    state: State,
    signed: Signed,
    write: DeviceWrite,
    seal: RecordSeal | FolderSeal,
    folder: str,
    device_keys: Mapping[str, bytes],
) -> None:
    if signed.signature != write.digest():
        raise Refused("a seal is not of the device's request it came with", code=Code.SEAL_BROKEN)
    author = device_writes.author_of(state, write, log_seq=seal.log_seq, device_keys=device_keys)
    if str(seal.author) != author.client:
        raise Refused("a seal names another device as its author", code=Code.SEAL_BROKEN)
    decision = decide(
        state, author.application, Action.EDIT, folder, now=seal.time, at=seal.log_seq
    )
    if isinstance(decision, Refuse):
        raise Refused(f"client {author.client}: {decision.reason}", code=Code.SEAL_AUTHOR)


def _check_device_folder(
    state: State,
    version: FolderVersion,
    write: DeviceWrite,
    seal: FolderSeal,
    device_keys: Mapping[str, bytes],
    ancestors: Collection[str] | None,
) -> None:
    if seal.deleted != (version.payload == b""):
        raise Refused(f"folder {seal.folder} is not what its seal says", code=Code.SEAL_BROKEN)
    device_writes.check_folder_content(
        device_writes.open_write(write),
        folder=seal.folder,
        domain=seal.domain,
        revision=seal.revision,
        payload=version.payload,
        ancestors=ancestors,
    )
    if version.origin is not None:
        device_writes.author_of(state, version.origin, device_keys=device_keys)
        made = device_writes.open_write(version.origin)
        if not isinstance(made, CreateFolder) or (made.folder, made.domain) != (
            seal.folder, seal.domain,
        ):  # fmt: skip
            raise Refused(f"folder {seal.folder} was not made so", code=Code.SEAL_BROKEN)


def device_of(state: State, version: RecordVersion | FolderVersion) -> DeviceAuthor | None:
    """The device that wrote a verified version; None when one of our own did."""
    if version.write is None:
        return None
    return device_writes.author_of(state, version.write)


def _check_chain(signed: Signed, seal: _V, pinned: _V, pinned_hash: bytes) -> None:
    revision, known = seal.revision, pinned.revision
    if revision == known and signed.digest() == pinned_hash:
        return
    if revision <= known:
        raise Refused(
            f"revision {revision} is older than revision {known} seen before, or differs from it",
            code=Code.SEAL_REVISION,
        )
    if revision == known + 1 and seal.prev_hash != pinned_hash:
        raise Refused(
            f"revision {revision} does not follow revision {known} seen before",
            code=Code.SEAL_REVISION,
        )
    # An author has seen what the one before had seen. Who lost a right and dates a revision back
    # to when they had it, with a server that helps, is stopped by the next honest revision.
    if seal.log_seq < pinned.log_seq:
        raise Refused(
            f"revision {revision} was judged by an older log than revision {known} before it",
            code=Code.SEAL_REVISION,
        )
