"""What every write of a device goes through."""

from __future__ import annotations

import pytest

from commander.wire import calls
from commander.wire.calls import AuditRead
from tests.support.backend_server import changed, refused
from tests.support.sdk_devices import RawDevice, SdkWorld

pytestmark = pytest.mark.integration


async def test_every_write_is_in_the_audit_log(world: SdkWorld, device: RawDevice) -> None:
    """Endpoint, device, application, object; never a title."""
    revision = (await device.newest())["revision"]
    folder, record = device.new_folder(), device.new_secret()
    await device.update(revision)
    await device.call("create_folder", **folder)
    await device.call("create_secret", **record)
    await device.call("add_file", **device.new_file(revision + 1))
    await device.call("delete_secret", recordUids=[record["recordUid"]])
    await device.call("delete_folder", folderUids=[folder["folderUid"]])

    read = AuditRead(0, 0, 2**40, "", "device-wrote", "", "", 100)
    answer = await world.owner.api.call(calls.AUDIT_READ, read)

    assert len(answer.events) == 6


async def test_user_may_not_hand_in_a_devices_write(world: SdkWorld, device: RawDevice) -> None:
    """Such a version comes from the device at its own door only."""
    await device.update((await device.newest())["revision"])
    await device.call("create_folder", **device.new_folder())
    answer = await world.owner.api.call(calls.SYNC, calls.SyncRequest(0))
    records = tuple(r for r in answer.records if r.write is not None)
    folders = tuple(f for f in answer.folders if f.write is not None)
    assert records
    assert folders

    for commit in (
        calls.Commit(records=records),
        calls.Commit(folders=folders),
        calls.Commit(folders=(changed(folders[0], write=None, placed=b"x"),)),
        calls.Commit(folders=(changed(folders[0], write=None, origin=folders[0].write),)),
    ):
        with refused("request-malformed"):
            await world.owner.api.call(calls.COMMIT, commit)


async def test_full_disk_changes_nothing(world: SdkWorld, device: RawDevice) -> None:
    """The device is told to try again, and the same request then works."""
    revision = (await device.newest())["revision"]
    core = world.server.core
    core.database._is_broken = True

    status, answer = await device.update(revision)

    core.database._is_broken = False
    assert (status, answer["error"]) == (500, "server_error")
    assert (await device.update(revision))[0] == 200
