"""`delete_secret`: records go one by one; an unknown one fails alone."""

from __future__ import annotations

from commander.backend.core import Core
from commander.backend.services.devices.draft import DeviceCall, DeviceDraft, Stored, begin
from commander.backend.storage import attachments
from commander.backend.storage.database import Transaction
from commander.ksm.answers import Outcome, deleted_records
from commander.ksm.errors import DeviceRefused, ErrorCode
from commander.ksm.writes import DeleteSecrets


async def delete_secret(core: Core, call: DeviceCall, content: DeleteSecrets) -> bytes:
    """Delete what may be deleted; the answer says of each what became of it."""
    outcomes = []
    async with begin(core, call) as (draft, transaction):
        found = await draft.records(content.records)
        for uid in content.records:
            outcomes.append(await _delete(draft, transaction, uid, found.get(uid)))
    return deleted_records(outcomes)


async def _delete(
    draft: DeviceDraft, transaction: Transaction, uid: str, record: Stored | None
) -> Outcome:
    if record is not None and draft.is_done(record.version):
        return Outcome(uid)
    if record is None or record.head.deleted:
        return Outcome(uid, ErrorCode.RECORD_NOT_FOUND, "there is no such record")
    try:
        draft.need_edit(record.head.folder)
    except DeviceRefused as error:
        return Outcome(uid, ErrorCode.ACCESS_DENIED, error.message)
    await remove_record(draft, transaction, record, "delete_secret")
    return Outcome(uid)


async def remove_record(
    draft: DeviceDraft, transaction: Transaction, record: Stored, what: str
) -> None:
    """Delete a record and its attachments."""
    await draft.put_record(record, b"")
    gone = await attachments.remove_all(draft.connection, record.head.uid)
    draft.core.files.forget_after(transaction, gone)
    await draft.note(what, record.head.uid)
