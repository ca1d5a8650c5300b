"""
What devices ask to be written: one type a kind of change, told apart by the content alone.

The path of a request is not signed, so nothing may depend on it: `read_write` names the change
from the signed payload, and the server checks that it was asked for at the path of that kind.
Only completion and rollback of a staged update are the same bytes (docs/who-sees-what.md).
Null means absent; keys that are not known are ignored, since every SDK adds its own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Annotated, Literal, TypeVar

import msgspec

from commander.crypto import aead
from commander.errors import InvalidInput
from commander.ids import is_uid
from commander.ksm import base64_text, ecies, strict_json
from commander.ksm.folder_names import MAX_NAME_BYTES, SEALED_KEY_BYTES
from commander.ksm.request import MAX_REQUEST_BYTES
from commander.ksm.token import CLIENT_ID_BYTES

MAX_UIDS = 500
MAX_DATA_BYTES = 1024 * 1024
MAX_FILE_DATA_BYTES = 64 * 1024
MAX_FILE_BYTES = 2**40
WRAPPED_KEY_BYTES = aead.NONCE_BYTES + aead.KEY_BYTES + aead.TAG_BYTES
OWNER_KEY_BYTES = ecies.OVERHEAD_BYTES + aead.KEY_BYTES
_LEAST_SEALED = aead.NONCE_BYTES + aead.TAG_BYTES
_FILE_UID = re.compile(r"[A-Za-z0-9_-]{21}[AQgw]\Z", re.ASCII)

_Uid = Annotated[str, msgspec.Meta(max_length=64)]
_Uids = Annotated[list[_Uid], msgspec.Meta(min_length=1, max_length=MAX_UIDS)]
_Text = Annotated[str, msgspec.Meta(max_length=4 * MAX_DATA_BYTES // 3 + 8)]
_Number = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class _Wire(msgspec.Struct, frozen=True, rename="camel"):
    """Every key that any of the writes has."""

    client_id: Annotated[str, msgspec.Meta(max_length=128)]
    record_uid: _Uid | None = None
    record_key: _Text | None = None
    folder_uid: _Uid | None = None
    folder_key: _Text | None = None
    sub_folder_uid: _Uid | None = None
    data: _Text | None = None
    revision: _Number | None = None
    transaction_type: Literal["general", "rotation"] | None = None
    links2_remove: Annotated[list[_Uid], msgspec.Meta(max_length=MAX_UIDS)] | None = msgspec.field(
        name="links2Remove", default=None
    )
    record_uids: _Uids | None = None
    shared_folder_uid: _Uid | None = None
    shared_folder_key: _Text | None = None
    parent_uid: _Uid | None = None
    folder_uids: _Uids | None = None
    force_deletion: bool | None = None
    file_record_uid: _Uid | None = None
    file_record_key: _Text | None = None
    file_record_data: _Text | None = None
    owner_record_uid: _Uid | None = None
    owner_record_data: _Text | None = None
    owner_record_revision: _Number | None = None
    link_key: _Text | None = None
    file_size: Annotated[int, msgspec.Meta(ge=_LEAST_SEALED, le=MAX_FILE_BYTES)] | None = None


@dataclass(frozen=True)
class CreateSecret:
    """A new record: key under the folder's key, and under the owner's public key."""

    client_id: bytes
    record: str
    folder: str
    inner_folder: str
    folder_key: bytes
    owner_key: bytes
    data: bytes = field(repr=False)


@dataclass(frozen=True)
class UpdateSecret:
    """New data of a record whose `revision` the device saw; staged when `in_transaction`."""

    client_id: bytes
    record: str
    revision: int
    in_transaction: bool
    removed_files: tuple[str, ...]
    data: bytes = field(repr=False)


@dataclass(frozen=True)
class CompleteUpdate:
    """The end of a staged update; which end, only the path says."""

    client_id: bytes
    record: str


@dataclass(frozen=True)
class DeleteSecrets:
    """Records to delete; an unknown one fails alone."""

    client_id: bytes
    records: tuple[str, ...]


@dataclass(frozen=True)
class CreateFolder:
    """A new sub-folder: key under the shared folder's key, name under its own (both CBC)."""

    client_id: bytes
    folder: str
    domain: str
    parent: str
    key: bytes
    data: bytes = field(repr=False)


@dataclass(frozen=True)
class UpdateFolder:
    """A folder's new name."""

    client_id: bytes
    folder: str
    data: bytes = field(repr=False)


@dataclass(frozen=True)
class DeleteFolders:
    """Folders to delete, with what is in them when `is_forced`."""

    client_id: bytes
    folders: tuple[str, ...]
    is_forced: bool


@dataclass(frozen=True)
class AddFile:
    """An attachment and the record's new data that names it; `revision` None: not told."""

    client_id: bytes
    record: str
    revision: int | None
    file: str
    owner_key: bytes
    link_key: bytes
    size: int
    file_data: bytes = field(repr=False)
    data: bytes = field(repr=False)


Write = (
    CreateSecret | UpdateSecret | CompleteUpdate | DeleteSecrets
    | CreateFolder | UpdateFolder | DeleteFolders | AddFile
)  # fmt: skip
_V = TypeVar("_V")


def read_write(payload: bytes) -> Write:
    """Read a signed payload as the one change it is. Raises InvalidInput."""
    wire = strict_json.decode_object(
        payload, _Wire, what="request payload", limit=MAX_REQUEST_BYTES
    )
    client_id = base64_text.from_any(
        wire.client_id, what="clientId", least=CLIENT_ID_BYTES, most=CLIENT_ID_BYTES
    )
    # What names a thing, and whose presence decides the kind; two kinds in one are refused.
    named = frozenset(
        name
        for name in (
            "record_uid", "folder_uid", "record_uids", "folder_uids", "shared_folder_uid",
            "file_record_uid", "owner_record_uid",
        )
        if getattr(wire, name) is not None
    )  # fmt: skip
    match sorted(named):
        case ["folder_uid", "record_uid"]:
            return _create_secret(client_id, wire)
        case ["record_uid"] if wire.data is not None:
            return _update_secret(client_id, wire)
        case ["record_uid"]:
            return CompleteUpdate(client_id, _uid(wire.record_uid, "recordUid"))
        case ["record_uids"]:
            return DeleteSecrets(client_id, _uids(wire.record_uids))
        case ["folder_uids"]:
            return DeleteFolders(client_id, _uids(wire.folder_uids), bool(wire.force_deletion))
        case ["folder_uid", "shared_folder_uid"]:
            return _create_folder(client_id, wire)
        case ["folder_uid"]:
            data = _sealed_name(wire)
            return UpdateFolder(client_id, _uid(wire.folder_uid, "folderUid"), data)
        case ["file_record_uid", "owner_record_uid"]:
            return _add_file(client_id, wire)
        case _:
            raise InvalidInput("the request is none of the writes a device may ask for")


def _create_secret(client_id: bytes, wire: _Wire) -> CreateSecret:
    folder = _uid(wire.folder_uid, "folderUid")
    inner = wire.sub_folder_uid or ""
    return CreateSecret(
        client_id=client_id,
        record=_uid(wire.record_uid, "recordUid"),
        folder=folder,
        # Some clients name the shared folder itself for "directly in it".
        inner_folder="" if inner in ("", folder) else _uid(inner, "subFolderUid"),
        folder_key=_bytes(wire.folder_key, "folderKey", WRAPPED_KEY_BYTES, WRAPPED_KEY_BYTES),
        owner_key=_bytes(wire.record_key, "recordKey", OWNER_KEY_BYTES, OWNER_KEY_BYTES),
        data=_bytes(wire.data, "data", _LEAST_SEALED, MAX_DATA_BYTES),
    )


def _update_secret(client_id: bytes, wire: _Wire) -> UpdateSecret:
    return UpdateSecret(
        client_id=client_id,
        record=_uid(wire.record_uid, "recordUid"),
        revision=_need(wire.revision, "revision"),
        in_transaction=wire.transaction_type is not None,
        removed_files=tuple(_file_uid(uid) for uid in wire.links2_remove or ()),
        data=_bytes(wire.data, "data", _LEAST_SEALED, MAX_DATA_BYTES),
    )


def _create_folder(client_id: bytes, wire: _Wire) -> CreateFolder:
    domain = _uid(wire.shared_folder_uid, "sharedFolderUid")
    parent = wire.parent_uid or ""
    return CreateFolder(
        client_id=client_id,
        folder=_uid(wire.folder_uid, "folderUid"),
        domain=domain,
        parent="" if parent in ("", domain) else _uid(parent, "parentUid"),
        key=_bytes(wire.shared_folder_key, "sharedFolderKey", SEALED_KEY_BYTES, SEALED_KEY_BYTES),
        data=_sealed_name(wire),
    )


def _add_file(client_id: bytes, wire: _Wire) -> AddFile:
    return AddFile(
        client_id=client_id,
        record=_uid(wire.owner_record_uid, "ownerRecordUid"),
        revision=wire.owner_record_revision,
        file=_file_uid(_need(wire.file_record_uid, "fileRecordUid")),
        owner_key=_bytes(wire.file_record_key, "fileRecordKey", OWNER_KEY_BYTES, OWNER_KEY_BYTES),
        link_key=_bytes(wire.link_key, "linkKey", WRAPPED_KEY_BYTES, WRAPPED_KEY_BYTES),
        size=_need(wire.file_size, "fileSize"),
        file_data=_bytes(
            wire.file_record_data, "fileRecordData", _LEAST_SEALED, MAX_FILE_DATA_BYTES
        ),
        data=_bytes(wire.owner_record_data, "ownerRecordData", _LEAST_SEALED, MAX_DATA_BYTES),
    )


def _sealed_name(wire: _Wire) -> bytes:
    return _bytes(wire.data, "data", _LEAST_SEALED, MAX_NAME_BYTES)


def _bytes(text: str | None, what: str, least: int, most: int) -> bytes:
    return base64_text.from_any(_need(text, what), what=what, least=least, most=most)


def _need(value: _V | None, what: str) -> _V:
    if value is None:
        raise InvalidInput(f"{what} is missing")
    return value


def _uid(text: str | None, what: str) -> str:
    if not is_uid(_need(text, what)):
        raise InvalidInput(f"{what} is not a UID")
    return text or ""


def _uids(texts: list[str] | None) -> tuple[str, ...]:
    """Names of what is to go, each once; of any form, since an unknown one fails alone."""
    return tuple(dict.fromkeys(texts or ()))


def _file_uid(text: str) -> str:
    # SDKs make file UIDs that begin with "-" too; we never show them to a command line.
    if not _FILE_UID.match(text):
        raise InvalidInput("a file's UID has an unknown form")
    return text
