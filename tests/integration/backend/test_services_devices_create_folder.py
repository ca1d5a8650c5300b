"""New folders of devices."""

from __future__ import annotations

import pytest

from commander.ids import new_uid
from commander.vault.opening import open_folder_name
from commander.wire import calls
from commander.wire.seals import read_folder_seal, verify_folder
from tests.support.sdk_devices import RawDevice, SdkWorld

pytestmark = pytest.mark.integration


async def test_owner_opens_a_folder_that_a_device_made(world: SdkWorld, device: RawDevice) -> None:
    """Name and place, from the signed request."""
    outer = device.new_folder("Outer")
    inner = device.new_folder("Inner", parent=outer["folderUid"])
    assert await device.call("create_folder", **outer) == (200, b"")
    assert await device.call("create_folder", **inner) == (200, b"")

    answer = await world.owner.api.call(calls.SYNC, calls.SyncRequest(0))

    names = {}
    for version in answer.folders:
        seal = verify_folder(world.server.core.state, version, pinned=None)
        if version.write is not None:
            names[seal.folder] = open_folder_name(world.folder_key, version, seal)
    assert names == {
        outer["folderUid"]: ("Outer", ""),
        inner["folderUid"]: ("Inner", outer["folderUid"]),
    }


async def test_folder_is_made_once_and_in_its_place(world: SdkWorld, device: RawDevice) -> None:
    """Again: the same; a taken UID, an unknown parent or root: refused."""
    content = device.new_folder()
    request = device.request(device.payload(**content))
    assert await device.send("create_folder", request) == (200, b"")
    assert await device.send("create_folder", request) == (200, b"")

    for bad, code in (
        (content, "bad_request"),
        (device.new_folder(folderUid=world.owner.user), "bad_request"),
        (device.new_folder(parent=new_uid()), "folder_uid_not_found"),
        (device.new_folder(sharedFolderUid=new_uid()), "folder_uid_not_found"),
    ):
        status, answer = await device.call("create_folder", **bad)
        assert (status, answer["error"]) == (400, code)
    synced = await world.owner.api.call(calls.SYNC, calls.SyncRequest(0))
    made = [v for v in synced.folders if read_folder_seal(v.seal).folder == content["folderUid"]]
    assert len(made) == 1
