"""Updates: every writer meets the newest revision, and nothing is lost."""

from __future__ import annotations

import asyncio

import pytest

from commander.wire import calls
from commander.wire.records import RecordData
from commander.wire.seals import FIRST_PREVIOUS, device_of, read_record_seal, verify_record
from tests.support.sdk_devices import RawDevice, SdkWorld, b64

pytestmark = pytest.mark.integration


async def test_owner_gets_a_version_that_verifies(world: SdkWorld, device: RawDevice) -> None:
    """By sync and by history, chained after the owner's own."""
    revision = (await device.newest())["revision"]
    assert await device.update(revision, b"x" * 40) == (200, b"")

    answer = await world.owner.api.call(calls.HISTORY, calls.HistoryRequest(world.record))
    first, second = answer.records
    state = world.server.core.state
    before = verify_record(state, first, pinned=None)
    after = verify_record(state, second, pinned=before, pinned_hash=first.seal.digest())
    author = device_of(state, second)
    assert author is not None
    assert (after.revision, author.is_confirmed) == (revision + 1, True)
    assert author.application == world.application
    assert before.prev_hash == FIRST_PREVIOUS
    synced = await world.owner.api.call(calls.SYNC, calls.SyncRequest(0))
    assert second in synced.records


async def test_of_many_writers_at_once_exactly_one_wins(world: SdkWorld) -> None:
    """Twenty updates of one revision, ten times over: no revision is lost or doubled."""
    devices = [await world.device() for _ in range(5)]
    start = (await devices[0].newest())["revision"]

    for round_number in range(4):
        answers = await asyncio.gather(
            *(device.update(start + round_number) for device in devices for _ in range(4))
        )
        assert sorted(status for status, _ in answers) == [200] + [400] * 19
        codes = {answer["error"] for status, answer in answers if status != 200}
        assert codes == {"out_of_sync"}

    answer = await world.owner.api.call(calls.HISTORY, calls.HistoryRequest(world.record))
    revisions = [read_record_seal(version.seal).revision for version in answer.records]
    assert revisions == list(range(1, start + 5))


async def test_same_request_twice_changes_once_and_answers_the_same(
    world: SdkWorld, device: RawDevice
) -> None:
    """Some HTTP libraries send a request again by themselves."""
    revision = (await device.newest())["revision"]
    request = device.request(
        device.payload(recordUid=world.record, data=b64(bytes(40)), revision=revision)
    )

    assert await device.send("update_secret", request) == (200, b"")
    assert await device.send("update_secret", request) == (200, b"")
    assert (await device.newest())["revision"] == revision + 1
    assert (await device.update(revision + 1))[0] == 200
    status, answer = await device.send("update_secret", request)
    assert (status, answer["error"]) == (400, "out_of_sync")


async def test_revisions_never_go_back_or_ahead(world: SdkWorld, device: RawDevice) -> None:
    """Only the newest may be replaced."""
    revision = (await device.newest())["revision"]

    for wrong in (0, revision - 1, revision + 1, 2**53):
        assert (await device.update(wrong))[1]["error"] == "out_of_sync"
    assert (await device.newest())["revision"] == revision


async def test_record_elsewhere_answers_as_one_that_does_not_exist(
    world: SdkWorld, device: RawDevice
) -> None:
    """Of another folder, deleted, or never there."""
    private = await world.vault.create_record(RecordData.create("login", "Private"))
    world.record, shared = private.uid, world.record
    elsewhere = await device.update(1)
    world.record = "A" * 22
    nowhere = await device.update(1)
    world.record = shared

    assert [answer["error"] for _, answer in (elsewhere, nowhere)] == ["record_uid_not_found"] * 2


async def test_end_of_a_transaction_is_its_own_devices(world: SdkWorld, device: RawDevice) -> None:
    """Another device ends nothing, and each request ends once."""
    other = await world.device()
    revision = (await device.newest())["revision"]
    await device.update(revision, transactionType="rotation")

    for name in ("finalize_secret_update", "rollback_secret_update"):
        status, answer = await other.call(name, recordUid=world.record)
        assert (status, answer["error"]) == (400, "bad_request")
    request = device.request(device.payload(recordUid=world.record))
    assert await device.send("finalize_secret_update", request) == (200, b"")
    status, answer = await device.send("rollback_secret_update", request)
    assert (status, "before" in answer["message"]) == (403, True)
    assert (await device.newest())["revision"] == revision + 1


async def test_staged_updates_end_by_themselves_and_are_bounded(
    world: SdkWorld, device: RawDevice
) -> None:
    """After a week nobody waits for them any more."""
    revision = (await device.newest())["revision"]
    await device.update(revision, transactionType="general")
    world.server.clock.advance(7 * 24 * 3600)

    status, _ = await device.call("finalize_secret_update", recordUid=world.record)

    assert status == 400
    assert (await device.newest())["revision"] == revision


async def test_owner_and_device_write_the_same_record(world: SdkWorld, device: RawDevice) -> None:
    """A device's stale revision is refused after the owner's change."""
    revision = (await device.newest())["revision"]
    await world.vault.update_record(world.record, lambda data: data.set_first("login", "x"))

    assert (await device.update(revision))[1]["error"] == "out_of_sync"
    assert (await device.update(revision + 1))[0] == 200
