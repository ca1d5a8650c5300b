"""`delete_folder`: sub-folders go one by one, with what is in them only when forced."""

from __future__ import annotations

from collections.abc import Sequence

from commander.backend.core import Core
from commander.backend.services.devices.delete_secret import remove_record
from commander.backend.services.devices.draft import DeviceCall, DeviceDraft, Stored, begin
from commander.backend.storage import folder_copies
from commander.backend.storage.database import Transaction
from commander.backend.storage.objects import FOLDERS, RECORDS
from commander.ksm.answers import Outcome, deleted_folders
from commander.ksm.errors import DeviceRefused, ErrorCode
from commander.ksm.payloads import MAX_RECORDS
from commander.ksm.writes import DeleteFolders
from commander.wire.calls import FolderCopy
from commander.wire.seals import read_record_seal

# One request holds the only writer for as long as it takes.
MAX_RECORDS_AT_ONCE = 1_000
_NEWEST = 2**62


async def delete_folder(core: Core, call: DeviceCall, content: DeleteFolders) -> bytes:
    """Delete what may be deleted; the answer says of each folder what became of it."""
    outcomes = []
    async with begin(core, call) as (draft, transaction):
        for uid in content.folders:
            try:
                await _delete(draft, transaction, uid, content)
            except DeviceRefused as error:
                outcomes.append(Outcome(uid, error.code, error.message))
            else:
                outcomes.append(Outcome(uid))
    return deleted_folders(outcomes)


async def _delete(
    draft: DeviceDraft, transaction: Transaction, uid: str, content: DeleteFolders
) -> None:
    heads = await FOLDERS.heads(draft.connection, [uid])
    newest = await FOLDERS.newest(draft.connection, list(heads.values()))
    # Deleted by this very request: asked again, or within one that was named before it.
    if uid in newest and draft.is_done(newest[uid]):
        return
    copy = await folder_copies.find(draft.connection, uid)
    if copy is None or uid not in heads or heads[uid].deleted or not draft.may_view(copy.domain):
        raise DeviceRefused("there is no such folder", code=ErrorCode.FOLDER_NOT_FOUND)
    draft.need_edit(copy.domain)
    if copy.domain == uid:
        raise DeviceRefused("a shared folder is its owner's", code=ErrorCode.ACCESS_DENIED)
    folders = _with_descendants(
        uid, await folder_copies.of_domains(draft.connection, [copy.domain])
    )
    records = await _records_in(draft, copy.domain, folders)
    if not content.is_forced and (records or len(folders) > 1):
        raise DeviceRefused("the folder is not empty", code=ErrorCode.BAD_REQUEST)
    if len(records) > MAX_RECORDS_AT_ONCE:
        raise DeviceRefused(
            f"more than {MAX_RECORDS_AT_ONCE} records are in it; delete some of them first",
            code=ErrorCode.BAD_REQUEST,
        )
    for record in records:
        await remove_record(draft, transaction, record, "delete_folder")
    for folder in folders:
        await _remove(draft, folder, copy.domain)


def _with_descendants(folder: str, copies: Sequence[FolderCopy]) -> list[str]:
    """A folder and all within it, each after what it is in."""
    found = [folder]
    children: dict[str, list[str]] = {}
    for copy in copies:
        children.setdefault(copy.parent, []).append(copy.folder)
    for uid in found:
        found.extend(child for child in children.get(uid, ()) if child not in found)
    return found


async def _records_in(draft: DeviceDraft, domain: str, folders: Sequence[str]) -> list[Stored]:
    heads = await RECORDS.changed(
        draft.connection, [domain], since=0, until=_NEWEST, count=MAX_RECORDS
    )
    living = [head for head in heads if not head.deleted]
    versions = await RECORDS.newest(draft.connection, living)
    return [
        Stored(head, versions[head.uid])
        for head in living
        if read_record_seal(versions[head.uid].seal).inner_folder in folders
    ]


async def _remove(draft: DeviceDraft, folder: str, domain: str) -> None:
    heads = await FOLDERS.heads(draft.connection, [folder])
    newest = await FOLDERS.newest(draft.connection, list(heads.values()))
    if folder in newest and not heads[folder].deleted:
        await draft.put_folder(folder, domain, b"", before=newest[folder])
        await draft.note("delete_folder", folder)
    await folder_copies.remove(draft.connection, [folder])
