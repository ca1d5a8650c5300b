"""Deleting folders."""

from __future__ import annotations

from typing import Any

import pytest

from commander.wire import calls
from commander.wire.seals import read_folder_seal, read_record_seal
from tests.support.sdk_devices import RawDevice, SdkWorld

pytestmark = pytest.mark.integration


async def tree(device: RawDevice) -> tuple[str, str, dict[str, Any]]:
    """Outer, inner and a record in inner."""
    outer = device.new_folder("Outer")
    inner = device.new_folder("Inner", parent=outer["folderUid"])
    record = device.new_secret(subFolderUid=inner["folderUid"])
    for name, content in (
        ("create_folder", outer),
        ("create_folder", inner),
        ("create_secret", record),
    ):
        assert (await device.call(name, **content))[0] == 200
    return outer["folderUid"], inner["folderUid"], record


async def test_force_takes_what_is_within_and_nothing_else(
    world: SdkWorld, device: RawDevice
) -> None:
    """Folders and records below; the owner sees that the device did it."""
    outer, inner, record = await tree(device)

    status, answer = await device.call("delete_folder", folderUids=[outer], forceDeletion=True)

    assert (status, answer["folders"][0]["responseCode"]) == (200, "ok")
    synced = await world.owner.api.call(calls.SYNC, calls.SyncRequest(0))
    gone = {
        read_folder_seal(v.seal).folder for v in synced.folders if read_folder_seal(v.seal).deleted
    }
    records = {
        read_record_seal(v.seal).record: read_record_seal(v.seal).deleted for v in synced.records
    }
    assert gone == {outer, inner}
    assert records == {world.record: False, record["recordUid"]: True}


async def test_without_force_a_folder_has_to_be_empty(world: SdkWorld, device: RawDevice) -> None:
    """From the inside out it goes."""
    outer, inner, record = await tree(device)

    for folder in (outer, inner):
        _, answer = await device.call("delete_folder", folderUids=[folder])
        assert answer["folders"][0]["responseCode"] == "bad_request"
    await device.call("delete_secret", recordUids=[record["recordUid"]])
    _, answer = await device.call("delete_folder", folderUids=[inner, outer])
    assert [item["responseCode"] for item in answer["folders"]] == ["ok", "ok"]
    _, folders = await device.call("get_folders")
    assert [folder["folderUid"] for folder in folders["folders"]] == [world.folder]


async def test_shared_and_unknown_folders_stay(world: SdkWorld, device: RawDevice) -> None:
    """A shared folder is its owner's."""
    private = await world.vault.create_shared_folder("Private")

    _, answer = await device.call(
        "delete_folder", folderUids=[world.folder, private.uid, "odd"], forceDeletion=True
    )

    codes = [item["responseCode"] for item in answer["folders"]]
    assert codes == ["access_denied", "folder_uid_not_found", "folder_uid_not_found"]
    assert (await device.newest())["recordUid"] == world.record
