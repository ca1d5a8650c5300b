"""Folders as devices read them."""

from __future__ import annotations

import pytest

from commander.wire import calls
from tests.support.backend_server import refused
from tests.support.sdk_devices import RawDevice, SdkWorld, copy_folder

pytestmark = pytest.mark.integration


async def test_parents_come_before_children(world: SdkWorld, device: RawDevice) -> None:
    """However they were made; roots carry no parent."""
    contents = [device.new_folder("0")]
    for name in "123":
        contents.append(device.new_folder(name, parent=contents[-1]["folderUid"]))
    for content in contents:
        await device.call("create_folder", **content)

    _, answer = await device.call("get_folders")

    found = [(folder["folderUid"], folder["parent"]) for folder in answer["folders"]]
    uids = [world.folder, *(content["folderUid"] for content in contents)]
    assert found == list(zip(uids, [None, *uids[:-1]], strict=True))
    assert all(folder["records"] is None and folder["data"] for folder in answer["folders"])


async def test_folder_without_a_name_for_devices_is_left_out_and_said_so(
    world: SdkWorld, device: RawDevice
) -> None:
    """Some SDKs stop at a folder without data."""
    second = await world.vault.create_shared_folder("Second")
    await world.vault.applications.share_folder(world.application, second.uid)
    async with world.server.core.database.transaction() as transaction:
        await transaction.connection.exec_driver_sql(
            "DELETE FROM folder_copies WHERE domain = ?", (second.uid,)
        )
    _, before = await device.call("get_folders")
    await copy_folder(world.owner, second.uid)
    _, after = await device.call("get_folders")

    assert (len(before["folders"]), len(before["warnings"])) == (1, 1)
    assert (len(after["folders"]), after["warnings"]) == (2, None)


async def test_copies_are_of_folders_one_may_edit(world: SdkWorld) -> None:
    """Their places are checked, as are their sizes."""
    inner = await world.vault.create_folder("Inner", world.folder)
    elsewhere = await world.vault.create_shared_folder("Elsewhere")
    good = calls.FolderCopy(inner.uid, world.folder, "", bytes(64), bytes(48))
    api = world.owner.api
    await api.call(calls.COMMIT, calls.Commit(folder_copies=(good,)))

    for bad, code in (
        (calls.FolderCopy(inner.uid, elsewhere.uid, "", bytes(64), bytes(48)), "object-unknown"),
        (calls.FolderCopy(inner.uid, world.folder, elsewhere.uid, bytes(64), bytes(48)), "object-unknown"),
        (calls.FolderCopy(world.folder, world.folder, inner.uid, b"", bytes(48)), "object-unknown"),
        (calls.FolderCopy(inner.uid, world.folder, "", b"", bytes(48)), "request-malformed"),
        (calls.FolderCopy(inner.uid, world.folder, "", bytes(64), b""), "request-malformed"),
        (calls.FolderCopy(inner.uid, world.folder, "", bytes(64), bytes(5000)), "too-large"),
    ):  # fmt: skip
        with refused(code):
            await api.call(calls.COMMIT, calls.Commit(folder_copies=(bad,)))
    other = await world.server.add_person(world.owner, "eve@example.org")
    with refused("access-missing"):
        await other.api.call(calls.COMMIT, calls.Commit(folder_copies=(good,)))
