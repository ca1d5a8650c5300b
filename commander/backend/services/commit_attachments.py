"""Attachments of a commit: those to come, those removed, those whose record ends."""

from __future__ import annotations

from commander.authority.decide import Action
from commander.authority.refusals import Code
from commander.backend.core import Core
from commander.backend.limits import ATTACHMENT_BYTES
from commander.backend.services.draft import Draft, need_once, need_size, need_uid
from commander.backend.storage import attachments
from commander.backend.storage.attachments import StoredAttachment
from commander.backend.storage.database import Transaction
from commander.backend.storage.objects import RECORDS, Head
from commander.crypto.streams import OVERHEAD_BYTES
from commander.errors import Refused
from commander.ksm.payloads import MAX_FILES
from commander.ksm.writes import MAX_FILE_DATA_BYTES, WRAPPED_KEY_BYTES
from commander.wire import seals
from commander.wire.calls import Commit, NewAttachment

MAX_AT_ONCE = 100


async def put(core: Core, draft: Draft, added: tuple[NewAttachment, ...]) -> None:
    """Check and store attachments whose bytes are to come. Raises Refused."""
    need_once([new.file for new in added], "an attachment")
    if len(added) > MAX_AT_ONCE:
        raise Refused(f"more than {MAX_AT_ONCE} attachments at once", code=Code.TOO_LARGE)
    heads = await RECORDS.heads(draft.connection, [new.record for new in added])
    for new in added:
        _need_record(draft, heads.get(new.record), new.record)
        need_uid(new.file, "the attachment")
        need_size(new.link_key, WRAPPED_KEY_BYTES, "a file key", least=WRAPPED_KEY_BYTES)
        need_size(new.data, MAX_FILE_DATA_BYTES, "a file's description", least=OVERHEAD_BYTES)
        if new.size < OVERHEAD_BYTES:
            raise Refused("an attachment has no such size", code=Code.REQUEST_MALFORMED)
        if new.size > ATTACHMENT_BYTES:
            raise Refused(
                f"an attachment has at most {ATTACHMENT_BYTES} bytes", code=Code.TOO_LARGE
            )
        if not core.files.has_room(new.size):
            raise Refused("the server's disk is too full", code=Code.STORE_UNAVAILABLE)
        if await attachments.find(draft.connection, new.file) is not None:
            raise Refused(f"attachment {new.file} exists", code=Code.STATEMENT_DUPLICATE)
        if await attachments.count(draft.connection, new.record) >= MAX_FILES:
            raise Refused(f"a record has at most {MAX_FILES} attachments", code=Code.TOO_LARGE)
        await attachments.add(
            draft.connection,
            StoredAttachment(
                new.file, new.record, new.link_key, new.data, new.size,
                uploaded=False, created=draft.now,
            ),
        )  # fmt: skip


async def remove(core: Core, transaction: Transaction, draft: Draft, commit: Commit) -> None:
    """Forget removed attachments and those of deleted records, and their bytes with the commit."""
    gone: list[str] = []
    removed = commit.removed_attachments
    heads = await RECORDS.heads(draft.connection, [old.record for old in removed])
    for old in removed:
        _need_record(draft, heads.get(old.record), old.record)
        gone += await attachments.remove(draft.connection, old.record, [old.file])
    for version in commit.records:
        seal = seals.read_record_seal(version.seal)
        if seal.deleted:
            gone += await attachments.remove_all(draft.connection, seal.record)
    core.files.forget_after(transaction, gone)


def _need_record(draft: Draft, head: Head | None, record: str) -> None:
    if head is None or head.deleted:
        raise Refused(f"no record {record[:22]}", code=Code.OBJECT_UNKNOWN)
    draft.need(Action.EDIT, head.folder)
