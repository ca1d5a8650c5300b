"""New records of devices."""

from __future__ import annotations

import asyncio

import pytest

from commander.ids import new_uid
from commander.ksm.owner import is_wrapped_to_owner
from commander.wire import calls
from tests.support.sdk_devices import RawDevice, SdkWorld

pytestmark = pytest.mark.integration


async def test_record_is_made_once(world: SdkWorld, device: RawDevice) -> None:
    """The same request again is the same record; another of that UID is refused."""
    content = device.new_secret()
    request = device.request(device.payload(**content))

    assert await device.send("create_secret", request) == (200, b"")
    assert await device.send("create_secret", request) == (200, b"")
    status, answer = await device.call("create_secret", **content)
    assert (status, answer["error"]) == (400, "bad_request")


async def test_uid_of_anything_else_is_refused(world: SdkWorld, device: RawDevice) -> None:
    """Of a record, a folder, a user, an application."""
    for taken in (world.record, world.folder, world.owner.user, world.application):
        status, answer = await device.call("create_secret", **device.new_secret(recordUid=taken))
        assert (status, answer["error"]) == (400, "bad_request")


async def test_places_are_checked(world: SdkWorld, device: RawDevice) -> None:
    """The folder is shared, the sub-folder is in it; what is not seen is not there."""
    private = await world.vault.create_shared_folder("Private")
    inner = device.new_folder()
    await device.call("create_folder", **inner)

    for place in (
        {"folderUid": private.uid},
        {"folderUid": new_uid()},
        {"subFolderUid": private.uid},
        {"subFolderUid": new_uid()},
    ):
        status, answer = await device.call("create_secret", **device.new_secret(**place))
        assert (status, answer["error"]) == (400, "folder_uid_not_found")
    within = device.new_secret(subFolderUid=inner["folderUid"])
    assert (await device.call("create_secret", **within))[0] == 200


async def test_of_devices_that_make_one_uid_at_once_one_wins(world: SdkWorld) -> None:
    """Whoever is first."""
    devices = [await world.device() for _ in range(5)]
    uid = new_uid()

    answers = await asyncio.gather(
        *(one.call("create_secret", **one.new_secret(recordUid=uid)) for one in devices)
    )

    assert sorted(status for status, _ in answers) == [200, 400, 400, 400, 400]


async def test_owners_of_records_are_told_from_others(world: SdkWorld, device: RawDevice) -> None:
    """The owner's vault can tell that a device wrapped the record key to somebody else."""
    content = device.new_secret()
    await device.call("create_secret", **content)

    answer = await world.owner.api.call(calls.HISTORY, calls.HistoryRequest(content["recordUid"]))

    assert answer.records[0].write is not None
    assert not is_wrapped_to_owner(world.app_key, bytes(125), bytes(32))
