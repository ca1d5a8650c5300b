"""Deleting records."""

from __future__ import annotations

import pytest

from commander.ids import new_uid
from commander.wire import calls
from commander.wire.records import RecordData
from commander.wire.seals import read_record_seal
from tests.support.sdk_devices import RawDevice, SdkWorld

pytestmark = pytest.mark.integration


async def test_each_record_has_its_own_outcome(world: SdkWorld, device: RawDevice) -> None:
    """What is not the device's to see answers as what is not there."""
    private = await world.vault.create_record(RecordData.create("login", "Private"))
    request = device.request(
        device.payload(recordUids=[world.record, private.uid, new_uid(), "odd", world.record])
    )

    for _ in range(2):
        status, answer = await device.send("delete_secret", request)
        assert status == 200
        codes = [item["responseCode"] for item in answer["records"]]
        assert codes == ["ok"] + ["record_uid_not_found"] * 3


async def test_owner_sees_who_deleted(world: SdkWorld, device: RawDevice) -> None:
    """The last revision is the request; nothing comes after it."""
    await device.call("delete_secret", recordUids=[world.record])

    answer = await world.owner.api.call(calls.SYNC, calls.SyncRequest(0))
    (last,) = [r for r in answer.records if read_record_seal(r.seal).record == world.record]
    seal = read_record_seal(last.seal)
    assert (seal.deleted, last.payload, last.write is not None) == (True, b"", True)
    assert (await device.update(seal.revision))[1]["error"] == "record_uid_not_found"
    again = device.new_secret(recordUid=world.record)
    assert (await device.call("create_secret", **again))[1]["error"] == "bad_request"
