"""Records kept ready for devices: always what the store says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection

import pytest
from sqlalchemy import create_engine, event

from commander.authority.refusals import Code
from commander.backend.core import Core
from commander.backend.storage import attachments, clients
from commander.backend.storage.attachments import StoredAttachment
from commander.backend.storage.device_shelf import MOST_FOLLOWED, DeviceShelf, Frame
from commander.backend.storage.objects import RECORDS, NewRevision
from commander.codec import encode
from commander.ids import DeviceUid, FolderUid, RecordUid, new_uid
from commander.wire.calls import NewClient
from commander.wire.seals import RecordSeal, RecordVersion, Signed

pytestmark = pytest.mark.integration
ONE, OTHER = new_uid(), new_uid()


def revision(
    uid: str, folder: str, number: int, *, deleted: bool = False
) -> NewRevision[RecordVersion]:
    seal = RecordSeal(
        RecordUid(uid), FolderUid(folder), "", number, bytes(32), b"", b"", DeviceUid(uid), 0, 0,
        deleted,
    )  # fmt: skip
    version = RecordVersion(Signed(encode(seal), bytes(64)), b"key", f"{number}".encode())
    return NewRevision(uid, folder, number, deleted, version)


async def put(core: Core, *revisions: NewRevision[RecordVersion]) -> None:
    async with core.database.transaction() as transaction:
        await RECORDS.put(transaction.connection, list(revisions))


async def seen(shelf: DeviceShelf, folders: Collection[str]) -> dict[str, int]:
    found = await shelf.folders(folders)
    records = [one for part in found.values() for one in part.values()]
    texts = [
        one.rendered.for_device(is_editable=True, files=None, has_links=False) for one in records
    ]
    return {item["recordUid"]: item["revision"] for item in map(json.loads, map(bytes, texts))}


async def test_shelf_follows_every_change(core: Core) -> None:
    """New, changed, moved, deleted; in folders it holds and in others."""
    shelf = core.shelf
    a, b, c = new_uid(), new_uid(), new_uid()
    await put(core, revision(a, ONE, 1), revision(b, ONE, 1), revision(c, OTHER, 1))
    assert await seen(shelf, [ONE]) == {a: 1, b: 1}

    await put(core, revision(a, ONE, 2))
    assert await seen(shelf, [ONE]) == {a: 2, b: 1}
    await put(core, revision(b, OTHER, 2), revision(c, ONE, 2))
    assert await seen(shelf, [ONE]) == {a: 2, c: 2}
    assert await seen(shelf, [ONE, OTHER]) == {a: 2, c: 2, b: 2}
    await put(core, revision(b, ONE, 3))
    assert await seen(shelf, [OTHER]) == {}
    await put(core, revision(a, ONE, 3, deleted=True), revision(new_uid(), new_uid(), 1))
    assert await seen(shelf, [ONE]) == {b: 3, c: 2}


async def test_many_changes_at_once_are_read_anew(core: Core) -> None:
    """A new share renews a whole folder."""
    a = new_uid()
    await put(core, revision(a, ONE, 1))
    assert await seen(core.shelf, [ONE]) == {a: 1}

    await put(
        core, *(revision(new_uid(), OTHER, 1) for _ in range(MOST_FOLLOWED)), revision(a, ONE, 2)
    )

    assert await seen(core.shelf, [ONE]) == {a: 2}
    assert len(await seen(core.shelf, [OTHER])) == MOST_FOLLOWED


async def test_nothing_is_asked_of_the_store_while_nothing_changes(core: Core) -> None:
    """A closed store would say so; the next commit is seen at once."""
    a, application = new_uid(), new_uid()
    await put(core, revision(a, ONE, 1))
    shelf = core.shelf

    async def ask() -> tuple[object, ...]:
        return (
            await seen(shelf, [ONE]), await shelf.client("nobody"), await shelf.frame(application),
            await shelf.files([a]),
        )  # fmt: skip

    first = await ask()
    readers = core.database._at_once
    core.database._at_once = None  # type: ignore[assignment]  # whoever asks the store fails
    again = await ask()
    core.database._at_once = readers

    assert first == again == ({a: 1}, None, Frame(None, {}), {})
    await put(core, revision(a, ONE, 2))
    assert await seen(shelf, [ONE]) == {a: 2}


async def test_those_who_ask_at_once_are_answered_by_one_read(core: Core) -> None:
    """A commit makes every client ask anew; one who gives up takes nothing from the others."""
    reads: list[int] = []
    event.listen(core.database._at_once, "begin", lambda _: reads.append(1))
    application = new_uid()
    async with core.database.transaction() as transaction:
        for number in range(40):
            new = NewClient(f"{number:088}", application, "client", "", b"", b"", b"k", 0, 0, False)
            await clients.add(transaction.connection, new, now=1)
    reads.clear()

    waiting = [asyncio.create_task(core.shelf.client(f"{number:088}")) for number in range(41)]
    await asyncio.sleep(0)
    waiting.pop(0).cancel()
    found = await asyncio.gather(*waiting)

    assert [one.client_id if one else "" for one in found] == (
        [*(f"{number:088}" for number in range(1, 40)), ""]
    )
    assert await core.shelf.frame(application) == Frame(None, {})
    assert reads == [1]


async def test_fault_of_the_store_reaches_all_who_asked_and_no_one_later(core: Core) -> None:
    """The next question is asked of the store again."""
    engine = core.database._at_once
    core.database._at_once = create_engine("sqlite:////nowhere/server.db")
    waiting = [asyncio.create_task(core.shelf.client("nobody")) for _ in range(3)]
    found = await asyncio.gather(*waiting, return_exceptions=True)
    core.database._at_once = engine

    assert [getattr(one, "code", None) for one in found] == [Code.STORE_UNAVAILABLE] * 3
    assert await core.shelf.client("nobody") is None


async def test_readers_and_writers_at_once_end_with_the_truth(core: Core) -> None:
    """Whatever a reader gets in between, no old revision stays."""
    a = new_uid()
    await put(core, revision(a, ONE, 1))
    found: list[int] = []

    async def read() -> None:
        while not found or found[-1] < 20:
            found.append((await seen(core.shelf, [ONE]))[a])
            # What is on the shelf is given without letting anybody else run.
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(read())
        for number in range(2, 21):
            await put(core, revision(a, ONE, number))

    assert await seen(core.shelf, [ONE]) == {a: 20}


async def test_shelf_is_bounded(core: Core) -> None:
    """What was not asked for longest goes first; answers stay right."""
    shelf = DeviceShelf(core.database, most_bytes=300)
    a, b = new_uid(), new_uid()
    await put(core, revision(a, ONE, 1), revision(b, OTHER, 1))

    for _ in range(2):
        assert await seen(shelf, [ONE]) == {a: 1}
        assert await seen(shelf, [OTHER]) == {b: 1}
    assert list(shelf._folders) == [OTHER]


async def test_news_that_push_the_wanted_folder_off_the_shelf_do_not_hide_it(core: Core) -> None:
    """Another folder grew, and both do not fit any more."""
    shelf = DeviceShelf(core.database, most_bytes=600)
    a = new_uid()
    await put(core, revision(a, ONE, 1), revision(new_uid(), OTHER, 1))
    assert len(await seen(shelf, [ONE, OTHER])) == 2

    await put(core, *(revision(new_uid(), OTHER, 1) for _ in range(3)))

    assert await seen(shelf, [ONE]) == {a: 1}


async def test_record_knows_whether_it_has_attachments(core: Core) -> None:
    """Their addresses are made for each device."""
    a = new_uid()
    async with core.database.transaction() as transaction:
        await RECORDS.put(transaction.connection, [revision(a, ONE, 1)])
        new = StoredAttachment(new_uid(), a, b"k", b"d", 7, uploaded=False, created=1)
        await attachments.add(transaction.connection, new)
    found = await core.shelf.folders([ONE])

    assert found[ONE][a].has_files
