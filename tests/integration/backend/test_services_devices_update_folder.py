"""Renaming folders."""

from __future__ import annotations

import base64

import pytest

from commander.ids import new_uid
from commander.ksm import folder_names
from commander.vault.opening import open_folder_name
from commander.wire import calls
from commander.wire.seals import read_folder_seal, verify_folder
from tests.support.sdk_devices import RawDevice, SdkWorld, b64

pytestmark = pytest.mark.integration


async def name_of(world: SdkWorld, folder: str) -> tuple[str, str]:
    """As the owner's device would read it, having seen nothing before."""
    answer = await world.owner.api.call(calls.SYNC, calls.SyncRequest(0))
    for version in answer.folders:
        seal = read_folder_seal(version.seal)
        if seal.folder == folder:
            verify_folder(world.server.core.state, version, pinned=None)
            return open_folder_name(world.folder_key, version, seal)
    raise AssertionError(folder)


async def test_name_is_changed_under_the_folders_own_key(
    world: SdkWorld, device: RawDevice
) -> None:
    """Of a folder a device made, and of the shared folder itself; again and again."""
    made = device.new_folder("First")
    await device.call("create_folder", **made)
    key = folder_names.open_key(world.folder_key, _raw(made["sharedFolderKey"]))

    for name in ("Second", "Third"):
        data = b64(folder_names.seal_name(key, name))
        assert await device.call("update_folder", folderUid=made["folderUid"], data=data) == (
            200,
            b"",
        )
        assert await name_of(world, made["folderUid"]) == (name, "")
    root = b64(folder_names.seal_name(world.folder_key, "Root"))
    assert (await device.call("update_folder", folderUid=world.folder, data=root))[0] == 200
    assert await name_of(world, world.folder) == ("Root", "")


async def test_old_name_is_not_taken_again(world: SdkWorld, device: RawDevice) -> None:
    """A request is used once: an answer lost is given again, a replay later is refused."""
    first = b64(folder_names.seal_name(world.folder_key, "First"))
    second = b64(folder_names.seal_name(world.folder_key, "Second"))
    request = device.request(device.payload(folderUid=world.folder, data=first))
    assert await device.send("update_folder", request) == (200, b"")
    assert await device.send("update_folder", request) == (200, b"")
    await device.call("update_folder", folderUid=world.folder, data=second)

    status, answer = await device.send("update_folder", request)

    assert (status, answer["error"]) == (403, "access_denied")
    assert (await name_of(world, world.folder))[0] == "Second"


async def test_unknown_folder_is_refused(world: SdkWorld, device: RawDevice) -> None:
    """Also one that is there but not shared."""
    private = await world.vault.create_shared_folder("Private")

    for folder in (new_uid(), private.uid):
        status, answer = await device.call("update_folder", folderUid=folder, data=b64(bytes(48)))
        assert (status, answer["error"]) == (400, "folder_uid_not_found")


def _raw(text: str) -> bytes:

    return base64.b64decode(text)
