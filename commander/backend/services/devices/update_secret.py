"""`update_secret` and the two ends of a staged one: `finalize_`, `rollback_secret_update`."""

from __future__ import annotations

from commander.backend.core import Core
from commander.backend.services.devices.draft import DeviceCall, DeviceDraft, Stored, begin
from commander.backend.storage import attachments, staged_updates
from commander.backend.storage.database import Transaction
from commander.codec import decode, encode
from commander.ksm.errors import DeviceRefused, ErrorCode
from commander.ksm.writes import CompleteUpdate, UpdateSecret
from commander.wire.device_writes import DeviceWrite, open_write

STAGED_S = 7 * 24 * 3600
MAX_STAGED = 100


async def update_secret(core: Core, call: DeviceCall, content: UpdateSecret) -> bytes:
    """
    Store new data after the revision the device saw, or stage it; the answer is empty.

    What is staged nobody reads until it is completed; then the revision is compared again.
    Raises DeviceRefused (out_of_sync when somebody else was faster).
    """
    async with begin(core, call) as (draft, transaction):
        record = await draft.record(content.record)
        if draft.is_done(record.version):
            return b""
        draft.need_edit(record.head.folder)
        need_revision(record, content.revision)
        if content.in_transaction:
            await _stage(draft, content.record)
            return b""
        await draft.put_record(record, content.data)
        await _remove_files(draft, transaction, content)
        await draft.note("update_secret", content.record)
    return b""


async def finalize_secret_update(core: Core, call: DeviceCall, content: CompleteUpdate) -> bytes:
    """Make a staged update the newest revision. Raises DeviceRefused."""
    async with begin(core, call) as (draft, transaction):
        await draft.claim()
        record = await draft.record(content.record)
        draft.need_edit(record.head.folder)
        write = await _staged(draft, content.record)
        staged = open_write(write)
        assert isinstance(staged, UpdateSecret)
        need_revision(record, staged.revision)
        await draft.put_record(record, staged.data, write=write)
        await _remove_files(draft, transaction, staged)
        await staged_updates.remove(draft.connection, content.record, call.client.client_id)
        await draft.note("finalize_secret_update", content.record)
    return b""


async def rollback_secret_update(core: Core, call: DeviceCall, content: CompleteUpdate) -> bytes:
    """Forget a staged update. Raises DeviceRefused."""
    async with begin(core, call) as (draft, _):
        await draft.claim()
        await draft.record(content.record)
        await _staged(draft, content.record)
        await staged_updates.remove(draft.connection, content.record, call.client.client_id)
        await draft.note("rollback_secret_update", content.record)
    return b""


def need_revision(record: Stored, revision: int) -> None:
    """Raise DeviceRefused(out_of_sync) unless the device saw the newest revision."""
    if revision != record.head.revision:
        raise DeviceRefused(
            f"record {record.head.uid} is at revision {record.head.revision}, not {revision}; "
            "read it again",
            code=ErrorCode.OUT_OF_SYNC,
        )


async def _stage(draft: DeviceDraft, record: str) -> None:
    client_id = draft.call.client.client_id
    await staged_updates.expire(draft.connection, now=draft.now)
    if await staged_updates.count(draft.connection, client_id) >= MAX_STAGED:
        raise DeviceRefused(
            f"{MAX_STAGED} updates wait to be completed", code=ErrorCode.BAD_REQUEST
        )
    await staged_updates.put(
        draft.connection, record, client_id, encode(draft.call.write), expires=draft.now + STAGED_S
    )


async def _staged(draft: DeviceDraft, record: str) -> DeviceWrite:
    client_id = draft.call.client.client_id
    raw = await staged_updates.find(draft.connection, record, client_id, now=draft.now)
    if raw is None:
        raise DeviceRefused(
            f"no update of record {record} waits to be completed", code=ErrorCode.BAD_REQUEST
        )
    return decode(DeviceWrite, raw)


async def _remove_files(
    draft: DeviceDraft, transaction: Transaction, content: UpdateSecret
) -> None:
    gone = await attachments.remove(draft.connection, content.record, content.removed_files)
    draft.core.files.forget_after(transaction, gone)
