"""`create_secret`: a device makes a record in a folder its application may edit."""

from __future__ import annotations

from commander.backend.core import Core
from commander.backend.services.devices.draft import DeviceCall, DeviceDraft, begin
from commander.backend.storage.objects import FOLDERS, RECORDS
from commander.ksm.errors import DeviceRefused, ErrorCode
from commander.ksm.writes import CreateSecret


async def create_secret(core: Core, call: DeviceCall, content: CreateSecret) -> bytes:
    """Store the record; the answer is empty. Raises DeviceRefused."""
    async with begin(core, call) as (draft, _):
        if not draft.may_view(content.folder):
            raise DeviceRefused(
                f"there is no folder {content.folder}", code=ErrorCode.FOLDER_NOT_FOUND
            )
        draft.need_edit(content.folder)
        if await _is_there(draft, content.record):
            return b""
        await need_folder(draft, content.inner_folder, content.folder)
        await draft.add_record(
            content.record, content.folder, content.inner_folder, content.folder_key, content.data
        )
        await draft.note("create_secret", content.record)
    return b""


async def _is_there(draft: DeviceDraft, record: str) -> bool:
    """Whether this very request made the record already. Raises DeviceRefused for another's."""
    heads = await RECORDS.heads(draft.connection, [record])
    if record not in heads and record not in draft.state.kinds:
        return False
    newest = await RECORDS.newest(draft.connection, list(heads.values()))
    if record in newest and draft.is_done(newest[record]):
        return True
    raise DeviceRefused(f"{record} exists already", code=ErrorCode.BAD_REQUEST)


async def need_folder(draft: DeviceDraft, folder: str, domain: str) -> None:
    """Raise DeviceRefused unless a sub-folder ("": the domain itself) is in a domain folder."""
    if not folder:
        return
    head = (await FOLDERS.heads(draft.connection, [folder])).get(folder)
    if head is None or head.folder != domain or head.deleted:
        raise DeviceRefused(
            f"there is no folder {folder} in {domain}", code=ErrorCode.FOLDER_NOT_FOUND
        )
