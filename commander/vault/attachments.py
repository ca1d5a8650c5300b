"""
Attachments of records as the vault makes and reads them: the form is that of Secrets Manager SDKs.

    file key        = random
    file UID        = derived from the file key
    link key        = GCM(record key, file key)
    description     = GCM(file key, {"name", "title", "type", "size", "lastModified"})
    bytes           = GCM(file key, content), as one stream
    record          has a field {"type": "fileRef", "value": [file UID]}

Bringing one takes three steps, so that no record ever names a file that is not there: `announce` it, carry the
bytes to the place the server gives, `name` it in the record.

The form binds nothing to a UID: every file key that was ever wrapped for a record opens as any of its files, so a
server could show a removed one, or another one, under a UID the record names. The UID of a file made here binds its key, and so its
bytes, which that key sealed once. For a file of an SDK the device's signed request names UID, key and description.
"""

from __future__ import annotations

import copy
import json
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from commander.authority.decide import Action
from commander.crypto import aead
from commander.crypto.kdf import derive
from commander.crypto.streams import OVERHEAD_BYTES
from commander.errors import Conflict, InvalidInput, NotFound, SealBroken, Tampered
from commander.ids import UID_BYTES, encode_uid, is_uid
from commander.ksm.writes import AddFile
from commander.vault.draft import Draft
from commander.vault.replica import OpenRecord
from commander.vault.session import Vault
from commander.vault.state import Place
from commander.wire import calls
from commander.wire.records import RecordData

MAX_BYTES = 1024 * 1024 * 1024
MAX_NAME = 255
FIELD = "fileRef"
_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?\Z")


def uid_of(key: bytes) -> str:
    """The UID that a file key belongs to."""
    return encode_uid(derive(key, "attachment-uid", size=UID_BYTES))


def _new_key() -> bytes:
    key = aead.new_key()
    while not is_uid(uid_of(key)):
        key = aead.new_key()
    return key


@dataclass(frozen=True)
class NewFile:
    """A file to attach: `size` bytes of content, modified at `modified_ms`."""

    name: str
    size: int
    modified_ms: int
    key: bytes = field(default_factory=_new_key, repr=False)

    @property
    def uid(self) -> str:
        """Its UID, which no other file's key has."""
        return uid_of(self.key)

    @property
    def sealed_size(self) -> int:
        """How many bytes are carried."""
        return self.size + OVERHEAD_BYTES


@dataclass(frozen=True)
class Attachment:
    """An attachment whose description opened; `row.place` says where its bytes are."""

    uid: str
    name: str
    title: str
    size: int
    key: bytes = field(repr=False)
    row: calls.AttachmentRow = field(repr=False)


def check_new(name: str, size: int) -> None:
    """Raise InvalidInput for a name or size that no attachment has."""
    if not 0 < len(name) <= MAX_NAME or not name.isprintable() or "/" in name:
        raise InvalidInput(f"{name[:60]!r} is no name of a file")
    if size > MAX_BYTES:
        raise InvalidInput(f"{name} has more than {MAX_BYTES} bytes")


async def announce(vault: Vault, record: str, files: Sequence[NewFile]) -> None:
    """Tell the server which files are to come; they belong to the record and are not in it yet."""

    def build(draft: Draft) -> None:
        found = vault.get_record(record)
        vault.require(Action.EDIT, found.domain)
        for file in files:
            link_key = aead.seal(found.key, file.key)
            data = aead.seal(file.key, _description(file))
            draft.attachments.append(
                calls.NewAttachment(file.uid, record, link_key, data, file.sealed_size)
            )

    await vault.commit(build)


def _description(file: NewFile) -> bytes:
    return json.dumps(
        {
            "name": file.name,
            "title": file.name,
            "type": "application/octet-stream",
            "size": file.size,
            "lastModified": file.modified_ms,
        }
    ).encode()


async def name(vault: Vault, record: str, files: Sequence[NewFile]) -> None:
    """Write the files into the record, once their bytes are there."""

    def change(data: RecordData) -> None:
        refs = _refs(data)
        refs += [file.uid for file in files if file.uid not in refs]
        _set_refs(data, refs)

    await vault.update_record(record, change)


async def remove(vault: Vault, record: str, uids: Sequence[str]) -> None:
    """Take files out of a record and forget their bytes, in one change."""

    def build(draft: Draft) -> None:
        found = vault.get_record(record)
        vault.require(Action.EDIT, found.domain)
        data = RecordData(copy.deepcopy(found.data.content))
        _set_refs(data, [uid for uid in _refs(data) if uid not in uids])
        if data.content != found.data.content:
            draft.put_record(found.uid, data, Place(found.domain, found.inner_folder))
        draft.removed_attachments += [calls.OldAttachment(uid, record) for uid in uids]

    await vault.commit(build)


def references(data: RecordData) -> list[str]:
    """UIDs of the files that a record names."""
    return _refs(data)


def _refs(data: RecordData) -> list[str]:
    found: list[str] = []
    for item in data.fields():
        if item.get("type") == FIELD and isinstance(item.get("value"), list):
            found += [uid for uid in item["value"] if isinstance(uid, str)]
    return found


def _set_refs(data: RecordData, uids: list[str]) -> None:
    own: dict[str, Any] | None = None
    for section in ("fields", "custom"):
        for item in data.content.get(section, []):
            if item.get("type") == FIELD:
                own = own or item
                item["value"] = []
    if own is None:
        own = {"type": FIELD, "value": []}
        data.content.setdefault("fields", []).append(own)
    own["value"] = uids


async def list_of(vault: Vault, record: OpenRecord) -> list[Attachment]:
    """
    The attachments that a record names, in its order.

    Raises Tampered for one that is withheld, altered or another one.

    What the server has beyond those is not part of the record and is left out.
    """
    wanted = references(record.data)
    if not wanted:
        return []
    answer = await vault.remote.call(calls.ATTACHMENTS, calls.AttachmentsRequest(record.uid))
    rows = {row.file: row for row in answer.attachments}
    found = [open_row(record, uid, rows.get(uid)) for uid in wanted]
    by_devices = [one for one in found if uid_of(one.key) != one.uid]
    if by_devices:
        signed = await vault.signed_files(record.uid)
        for one in by_devices:
            check_signed(record, one, signed.get(one.uid))
    return found


def check_signed(record: OpenRecord, found: Attachment, signed: AddFile | None) -> None:
    """Raise Tampered unless a device signed that this is the file behind this UID."""
    row = found.row
    if signed is None or (signed.link_key, signed.file_data, signed.size) != (
        row.link_key, row.data, row.size,
    ):  # fmt: skip
        raise Tampered(
            f"attachment {found.uid} of record {record.data.title!r} is another file than the one attached",
            hint="the server put it there; tell an administrator",
        )


def open_row(record: OpenRecord, uid: str, row: calls.AttachmentRow | None) -> Attachment:
    """Open what the server says of an attachment that a record names. Raises Tampered."""
    if row is None:
        raise Tampered(
            f"the server has no attachment {uid} that record {record.data.title!r} names",
            hint="it was lost or is withheld; record-update --remove-file takes it out",
        )
    key = b""
    try:
        key = aead.open_sealed(record.key, row.link_key)
        found = json.loads(aead.open_sealed(key, row.data))
        title, size = found.get("title") or found["name"], found.get("size", 0)
        named = found["name"]
    except (SealBroken, ValueError, KeyError, TypeError, AttributeError):
        named = title = size = None
    if not (isinstance(named, str) and isinstance(title, str) and isinstance(size, int)):
        raise Tampered(
            f"attachment {uid} of record {record.data.title!r} does not open",
            hint="it was altered on the server; tell an administrator",
        )
    return Attachment(uid, named, title, size, key, row)


def choose(found: Sequence[Attachment], text: str) -> Attachment:
    """One attachment by UID, name or title. Raises NotFound, Conflict."""
    fitting = [one for one in found if text in (one.uid, one.name, one.title)]
    if not fitting:
        names = ", ".join(one.name for one in found[:10])
        raise NotFound(f"no attachment {text[:80]!r}", hint=f"there are: {names or 'none'}")
    if len(fitting) > 1:
        uids = ", ".join(one.uid for one in fitting[:10])
        raise Conflict(f"{text[:80]!r} names {len(fitting)} attachments: {uids}", hint="use a UID")
    return fitting[0]


def safe_name(attachment: Attachment) -> str:
    """
    A name that makes a plain file in one directory, whatever somebody called the attachment.

    No path, nothing hidden, nothing unprintable, no device of any system.
    """
    text = unicodedata.normalize("NFC", attachment.name).replace("\\", "/").rpartition("/")[2]
    text = "".join(char if char.isprintable() and char not in ':*?"<>|' else "_" for char in text)
    text = text.strip(" .")
    if not text or _RESERVED.match(text):
        text = f"file-{attachment.uid}"
    while len(text.encode()) > MAX_NAME:
        text = text[:-1]
    return text
