"""`update_folder`: a device gives a folder another name."""

from __future__ import annotations

import msgspec

from commander.backend.core import Core
from commander.backend.services.devices.draft import DeviceCall, begin
from commander.backend.storage import folder_copies
from commander.backend.storage.objects import FOLDERS
from commander.ksm.errors import DeviceRefused, ErrorCode
from commander.ksm.writes import CreateFolder, UpdateFolder
from commander.wire.device_writes import DeviceWrite, open_write
from commander.wire.seals import FolderVersion

_HISTORY_BYTES = 16 * 1024 * 1024


async def update_folder(core: Core, call: DeviceCall, content: UpdateFolder) -> bytes:
    """
    Store the name; the answer is empty. Raises DeviceRefused.

    The request names no revision, so it is used once; what a device can't know (key and place)
    goes along from the versions before.
    """
    async with begin(core, call) as (draft, _):
        copy = await folder_copies.find(draft.connection, content.folder)
        if copy is None or not draft.may_view(copy.domain):
            raise DeviceRefused(
                f"there is no folder {content.folder}", code=ErrorCode.FOLDER_NOT_FOUND
            )
        draft.need_edit(copy.domain)
        history = await FOLDERS.history(draft.connection, content.folder, size=_HISTORY_BYTES)
        if draft.is_done(history[-1]):
            return b""
        await draft.claim()
        await draft.put_folder(
            content.folder,
            copy.domain,
            content.data,
            before=history[-1],
            origin=_made_by(history),
            placed=_placed(history),
        )
        await folder_copies.put(draft.connection, msgspec.structs.replace(copy, data=content.data))
        await draft.note("update_folder", content.folder)
    return b""


def _made_by(history: tuple[FolderVersion, ...]) -> DeviceWrite | None:
    """The request that made the folder and has its key, when a device did."""
    for version in reversed(history):
        if version.origin is not None:
            return version.origin
    write = history[0].write
    return write if write is not None and isinstance(open_write(write), CreateFolder) else None


def _placed(history: tuple[FolderVersion, ...]) -> bytes:
    """The newest name and place in our own form, if there was one."""
    for version in reversed(history):
        if version.write is None:
            return version.payload
        if version.placed:
            return version.placed
    return b""
