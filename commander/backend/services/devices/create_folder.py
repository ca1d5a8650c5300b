"""`create_folder`: a device makes a sub-folder of a folder its application may edit."""

from __future__ import annotations

from commander.backend.core import Core
from commander.backend.services.devices.create_secret import need_folder
from commander.backend.services.devices.draft import DeviceCall, begin
from commander.backend.storage import folder_copies
from commander.backend.storage.objects import FOLDERS
from commander.ksm.errors import DeviceRefused, ErrorCode
from commander.ksm.writes import CreateFolder
from commander.wire.calls import FolderCopy


async def create_folder(core: Core, call: DeviceCall, content: CreateFolder) -> bytes:
    """Store the folder; the answer is empty. Raises DeviceRefused."""
    folder, domain = content.folder, content.domain
    async with begin(core, call) as (draft, _):
        if not draft.may_view(domain):
            raise DeviceRefused(f"there is no folder {domain}", code=ErrorCode.FOLDER_NOT_FOUND)
        draft.need_edit(domain)
        heads = await FOLDERS.heads(draft.connection, [folder])
        if folder in heads or folder in draft.state.kinds:
            newest = await FOLDERS.newest(draft.connection, list(heads.values()))
            if folder in newest and draft.is_done(newest[folder]):
                return b""
            raise DeviceRefused(f"{folder} exists already", code=ErrorCode.BAD_REQUEST)
        await need_folder(draft, content.parent, domain)
        await draft.put_folder(folder, domain, content.data, before=None)
        copy = FolderCopy(folder, domain, content.parent, content.key, content.data)
        await folder_copies.put(draft.connection, copy)
        await draft.note("create_folder", folder)
    return b""
