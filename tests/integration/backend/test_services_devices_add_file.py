"""Attachments: description first, then the bytes."""

from __future__ import annotations

import base64

import pytest

from commander.backend.limits import ATTACHMENT_BYTES
from commander.ksm.payloads import MAX_FILES
from tests.support.sdk_devices import RawDevice, SdkWorld, upload

pytestmark = pytest.mark.integration


async def test_attachment_is_listed_and_gets_an_address_when_its_bytes_are_there(
    world: SdkWorld, device: RawDevice
) -> None:
    """Every device of the application sees it, each with an address of its own."""
    other = await world.device()
    content = device.new_file((await device.newest())["revision"])

    status, place = await device.call("add_file", **content)
    before = (await other.newest())["files"][0]
    uploaded = await upload(world, place["url"], bytes(100))
    after = [(await one.newest())["files"][0] for one in (device, other)]

    assert (status, uploaded) == (200, place["successStatusCode"])
    assert (before["fileUid"], before["url"]) == (content["fileRecordUid"], None)
    assert base64.b64decode(before["fileKey"]) == base64.b64decode(content["linkKey"])
    assert all(file["url"] for file in after)
    assert after[0]["url"] != after[1]["url"]


async def test_same_request_again_gives_a_place_again(device: RawDevice) -> None:
    """The answer was lost; nothing is doubled."""
    revision = (await device.newest())["revision"]
    request = device.request(device.payload(**device.new_file(revision)))

    first, again = [await device.send("add_file", request) for _ in range(2)]

    assert (first[0], again[0]) == (200, 200)
    assert len((await device.newest())["files"]) == 1
    assert (await device.newest())["revision"] == revision + 1


async def test_stale_revision_is_refused_and_an_untold_one_is_the_newest(
    world: SdkWorld, device: RawDevice
) -> None:
    """Some SDKs do not tell; their request is used once."""
    revision = (await device.newest())["revision"]
    status, answer = await device.call("add_file", **device.new_file(revision - 1))
    assert (status, answer["error"]) == (400, "out_of_sync")
    untold = device.request(device.payload(**device.new_file(None)))
    assert (await device.send("add_file", untold))[0] == 200
    assert (await device.update(revision + 1))[0] == 200

    status, answer = await device.send("add_file", untold)

    assert (status, answer["error"]) == (403, "access_denied")


async def test_limits(world: SdkWorld, device: RawDevice) -> None:
    """Size of one, number of a record, a UID once."""
    revision = (await device.newest())["revision"]
    content = device.new_file(revision)
    await device.call("add_file", **content)
    doubled = content | {"ownerRecordRevision": revision + 1}
    assert (await device.call("add_file", **doubled))[1]["error"] == "bad_request"
    large = device.new_file(revision + 1, ATTACHMENT_BYTES + 1)
    assert (await device.call("add_file", **large))[1]["error"] == "bad_request"
    async with world.server.core.database.transaction() as transaction:
        await transaction.connection.exec_driver_sql(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) "
            "INSERT INTO attachments SELECT printf('%022d', i), ?, x'', x'', 1, 0, 1 FROM n",
            (MAX_FILES, world.record),
        )

    status, answer = await device.call("add_file", **device.new_file(revision + 1))

    assert (status, answer["error"]) == (400, "bad_request")


async def test_attachments_go_with_their_record(world: SdkWorld, device: RawDevice) -> None:
    """The bytes too, right after the deletion is on the disk."""
    content = device.new_file((await device.newest())["revision"])
    _, place = await device.call("add_file", **content)
    await upload(world, place["url"], bytes(100))
    files = world.server.core.files.directory
    assert len(list(files.iterdir())) == 1

    await device.call("delete_secret", recordUids=[world.record])

    assert list(files.iterdir()) == []
