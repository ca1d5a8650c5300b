"""
What `get_secret` asks and answers, with our extension `commander`.

A payload is JSON; null means absent; unknown keys of a request are ignored, since every SDK
adds its own. The answer carries every key, null when empty, because some SDKs have no defaults.
Binary values are standard base64 with padding, but `appData`, which is url-safe without.

The extension: a client of ours asks with `"commander": {"seals": true}` and gets in each record
`"commander": {"seal", "settings", "settings_seal", "write"}`: the detached seal of the payload, the
second part of the record, its seal, and the signed request when a device wrote the payload. SDKs never ask, so they never see it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated

import msgspec

from commander.crypto.encoding import from_base64url, to_base64url
from commander.errors import InvalidInput
from commander.ksm import base64_text, strict_json
from commander.ksm.keys import POINT_BYTES, P256PublicKey
from commander.ksm.request import MAX_ANSWER_BYTES
from commander.ksm.token import CLIENT_ID_BYTES, SEALED_APP_KEY_BYTES

MAX_PAYLOAD_BYTES = 512 * 1024
MAX_FILTER = 10_000
MAX_RECORDS = 50_000
MAX_FOLDERS = 10_000
MAX_FILES = 1_000
MAX_RECORD_BYTES = 8 * 1024 * 1024
CLIENT_VERSION = "mc1.0.0"

_Text = Annotated[str, msgspec.Meta(max_length=64)]
_Filter = Annotated[list[_Text], msgspec.Meta(max_length=MAX_FILTER)]
_Uid = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
_Key = Annotated[bytes, msgspec.Meta(max_length=256)]
_Blob = Annotated[bytes, msgspec.Meta(max_length=MAX_RECORD_BYTES)]
_Seal = Annotated[bytes, msgspec.Meta(max_length=64 * 1024)]
_Revision = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class _CommanderRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    seals: bool = False


class _GetSecretWire(msgspec.Struct, frozen=True, rename="camel"):
    client_id: Annotated[str, msgspec.Meta(max_length=128)]
    client_version: _Text | None = None
    public_key: Annotated[str, msgspec.Meta(max_length=128)] | None = None
    requested_records: _Filter | None = None
    requested_folders: _Filter | None = None
    request_links: bool | None = None
    commander: _CommanderRequest | None = None


@dataclass(frozen=True)
class GetSecretRequest:
    """
    One question of a device; an empty filter means everything.

    `public_key` is there only while the device binds: verify the request's signature
    with it then, and with the stored key always else. Filters may name anything; what
    does not exist is left out of the answer without an error.
    """

    client_id: bytes
    public_key: P256PublicKey | None = None
    records: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    links: bool = False
    seals: bool = False
    client_version: str = CLIENT_VERSION

    @classmethod
    def parse(cls, payload: bytes) -> GetSecretRequest:
        """Read a payload. Raises InvalidInput."""
        wire = strict_json.decode_object(
            payload, _GetSecretWire, what="request payload", limit=MAX_PAYLOAD_BYTES
        )
        return cls(
            client_id=base64_text.from_any(
                wire.client_id, what="clientId", least=CLIENT_ID_BYTES, most=CLIENT_ID_BYTES
            ),
            public_key=_parse_point(wire.public_key),
            records=tuple(wire.requested_records or ()),
            folders=tuple(wire.requested_folders or ()),
            links=bool(wire.request_links),
            seals=wire.commander is not None and wire.commander.seals,
            client_version=wire.client_version or "",
        )

    def to_payload(self) -> bytes:
        """Write the payload; absent values are left out."""
        content: dict[str, object] = {
            "clientVersion": self.client_version,
            "clientId": base64_text.to_standard(self.client_id),
        }
        if self.public_key is not None:
            content["publicKey"] = base64_text.to_standard(self.public_key.raw)
        if self.records:
            content["requestedRecords"] = list(self.records)
        if self.folders:
            content["requestedFolders"] = list(self.folders)
        if self.links:
            content["requestLinks"] = True
        if self.seals:
            content["commander"] = {"seals": True}
        return json.dumps(content).encode()


class RecordSeals(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Our extension of a record: what proves the payload, and the second part with its proof."""

    seal: _Seal
    settings: _Blob | None = None
    settings_seal: _Seal | None = None
    write: _Blob | msgspec.UnsetType = msgspec.UNSET


class File(msgspec.Struct, frozen=True, rename="camel"):
    """An attachment: key under the record key, description under the file key."""

    file_uid: _Uid
    file_key: _Key
    data: _Blob
    url: Annotated[str, msgspec.Meta(max_length=2048)] | None = None
    thumbnail_url: Annotated[str, msgspec.Meta(max_length=2048)] | None = None


class Link(msgspec.Struct, frozen=True, rename="camel"):
    """A link from a record to another, sent only when asked for."""

    record_uid: _Uid
    data: _Blob | None = None
    path: _Text | None = None


class Record(msgspec.Struct, frozen=True, rename="camel"):
    """
    One record: `record_key` under the folder's or application's key, `data` under the record key.

    `inner_folder_uid` names a sub-folder only; set it never on a record shared directly,
    because some SDKs then use that folder's key.
    """

    record_uid: _Uid
    record_key: _Key
    data: _Blob
    revision: _Revision
    is_editable: bool
    files: Annotated[list[File], msgspec.Meta(max_length=MAX_FILES)] | None = None
    folder_uid: _Uid | None = None
    inner_folder_uid: _Uid | None = None
    links: Annotated[list[Link], msgspec.Meta(max_length=MAX_FILES)] | msgspec.UnsetType = (
        msgspec.UNSET
    )
    commander: RecordSeals | msgspec.UnsetType = msgspec.UNSET


_Records = Annotated[list[Record], msgspec.Meta(max_length=MAX_RECORDS)]


class Folder(msgspec.Struct, frozen=True, rename="camel"):
    """A shared folder with its key under the application key; an empty one is listed too."""

    folder_uid: _Uid
    folder_key: _Key
    is_editable: bool
    records: _Records | None = None
    data: _Blob | None = None
    parent: _Uid | None = None


class RenderedRecord(bytes):
    """
    A record's JSON for any device, without what differs between devices.

    Made once and sent often: `for_device` fills in the rest.
    """

    @classmethod
    def render(
        cls, uid: str, *, record_key: bytes, data: bytes, revision: int, inner_folder: str
    ) -> RenderedRecord:
        """Write a record once."""
        record = Record(
            uid, record_key, data, revision, False, inner_folder_uid=inner_folder or None
        )
        return cls(msgspec.json.encode(record))

    def for_device(
        self, *, is_editable: bool, files: list[File] | None, has_links: bool
    ) -> msgspec.Raw:
        """The record as one device gets it."""
        text = bytes(self)
        if is_editable:
            text = text.replace(b'"isEditable":false', b'"isEditable":true', 1)
        if files:
            text = text.replace(b'"files":null', b'"files":' + msgspec.json.encode(files), 1)
        if has_links:
            # PAM links are ciphertext here, so there are none to tell.
            text = text[:-1] + b',"links":[]}'
        return msgspec.Raw(text)


class RenderedFolder(msgspec.Struct, frozen=True, rename="camel"):
    """A `Folder` whose records are written already."""

    folder_uid: str
    folder_key: bytes
    is_editable: bool
    records: list[msgspec.Raw]
    data: None = None
    parent: None = None


class GetSecretResponse(msgspec.Struct, frozen=True, rename="camel"):
    """
    The answer to `get_secret`; `make` fills in what must never be null.

    `encrypted_app_key` and `app_owner_public_key` go to a device that binds only.
    `expires_on` is in milliseconds, 0 for never.
    """

    encrypted_app_key: (
        Annotated[
            bytes,
            msgspec.Meta(min_length=SEALED_APP_KEY_BYTES, max_length=SEALED_APP_KEY_BYTES),
        ]
        | None
    ) = None
    app_owner_public_key: (
        Annotated[bytes, msgspec.Meta(min_length=POINT_BYTES, max_length=POINT_BYTES)] | None
    ) = None
    folders: Annotated[list[Folder], msgspec.Meta(max_length=MAX_FOLDERS)] | None = None
    records: _Records | None = None
    expires_on: _Revision = 0
    warnings: Annotated[list[str], msgspec.Meta(max_length=100)] | None = None
    extra: dict[str, str] | None = None
    # Null breaks two SDKs, so the key is either filled or left out.
    app_data_text: str | msgspec.UnsetType = msgspec.field(name="appData", default=msgspec.UNSET)

    @classmethod
    def make(
        cls,
        *,
        folders: list[Folder],
        records: list[Record],
        app_data: bytes | None = None,
        encrypted_app_key: bytes | None = None,
        app_owner_public_key: bytes | None = None,
        expires_on: int = 0,
        warnings: list[str] | None = None,
    ) -> GetSecretResponse:
        """Put an answer together; `app_data` is the sealed `{"title", "type"}` of the app."""
        return cls(
            encrypted_app_key=encrypted_app_key,
            app_owner_public_key=app_owner_public_key,
            folders=folders,
            records=records,
            expires_on=expires_on,
            warnings=warnings,
            app_data_text=msgspec.UNSET if app_data is None else to_base64url(app_data),
        )

    @classmethod
    def parse(cls, payload: bytes) -> GetSecretResponse:
        """Read an answer, as our gateway does. Raises InvalidInput."""
        answer = strict_json.decode_object(
            payload, cls, what="get_secret answer", limit=MAX_ANSWER_BYTES
        )
        if answer.app_data_text is not msgspec.UNSET:
            from_base64url(answer.app_data_text)
        return answer

    @property
    def app_data(self) -> bytes | None:
        """The sealed description of the application. Raises InvalidInput when it is no base64."""
        text = self.app_data_text
        return None if text is msgspec.UNSET else from_base64url(text)

    def to_payload(self, rendered: list[RenderedFolder] | None = None) -> bytes:
        """Write the answer, every key in place; `rendered` stands in for its folders."""
        if rendered is None:
            return msgspec.json.encode(self)
        return msgspec.json.encode(msgspec.structs.replace(self, folders=rendered))


def _parse_point(text: str | None) -> P256PublicKey | None:
    if text is None:
        return None
    raw = base64_text.from_any(text, what="publicKey", least=POINT_BYTES, most=POINT_BYTES)
    try:
        return P256PublicKey(raw)
    except InvalidInput as error:
        raise InvalidInput(f"publicKey: {error.message}") from None
