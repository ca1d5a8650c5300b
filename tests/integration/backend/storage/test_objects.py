from __future__ import annotations

import pytest

from commander.backend.core import Core
from commander.backend.storage.objects import FOLDERS, RECORDS, NewRevision
from commander.ids import new_uid
from commander.wire.seals import FolderVersion, RecordVersion, Signed

pytestmark = pytest.mark.integration


def revision(
    uid: str, number: int, folder: str, *, deleted: bool = False, size: int = 10
) -> NewRevision[RecordVersion]:
    version = RecordVersion(Signed(f"{uid}{number}".encode(), bytes(64)), b"k", bytes(size))
    return NewRevision(uid, folder, number, deleted, version)


async def put(core: Core, *added: NewRevision[RecordVersion]) -> None:
    async with core.database.transaction() as transaction:
        await RECORDS.put(transaction.connection, added)


async def test_newest_revision_is_the_head_and_all_stay_in_the_history(core: Core) -> None:
    """Also when the object moves to another folder."""
    uid, here, there = new_uid(), new_uid(), new_uid()
    await put(core, revision(uid, 1, here))
    await put(core, revision(uid, 2, here))
    last = revision(uid, 3, there, deleted=True)
    await put(core, last)

    async with core.database.reading() as connection:
        head = (await RECORDS.heads(connection, [uid, new_uid()]))[uid]
        newest = await RECORDS.newest(connection, [head])
        whole = await RECORDS.history(connection, uid, size=10_000)
        short = await RECORDS.history(connection, uid, size=head.size * 2)
    assert (head.revision, head.folder, head.deleted) == (3, there, True)
    assert head.digest == last.version.seal.digest()
    assert newest == {uid: last.version}
    assert [found.seal.body[-1:] for found in whole] == [b"1", b"2", b"3"]
    assert [found.seal.body[-1:] for found in short] == [b"2", b"3"]


async def test_changes_are_found_by_folder_range_and_count_in_order(core: Core) -> None:
    """Over more folders than one query takes."""
    folders = [new_uid() for _ in range(600)]
    made = [revision(new_uid(), 1, folder) for folder in folders]
    await put(core, *made)

    async with core.database.reading() as connection:
        everything = await RECORDS.changed(connection, folders, since=0, until=10**6, count=10**6)
        some = await RECORDS.changed(connection, folders, since=100, until=590, count=7)
        none = await RECORDS.changed(connection, [], since=0, until=10**6, count=5)
    assert [head.uid for head in everything] == [new.uid for new in made]
    assert [head.change for head in some] == list(range(101, 108))
    assert none == []


async def test_renewed_folder_counts_as_changed_and_others_do_not(core: Core) -> None:
    """Each object gets a number of its own."""
    here, there = new_uid(), new_uid()
    await put(core, *(revision(new_uid(), 1, folder) for folder in (here, there, here)))

    async with core.database.transaction() as transaction:
        await RECORDS.renew(transaction.connection, here)
        await FOLDERS.renew(transaction.connection, here)

    async with core.database.reading() as connection:
        found = await RECORDS.changed(connection, [here, there], since=3, until=99, count=9)
    assert [(head.folder, head.change) for head in found] == [(here, 4), (here, 5)]


async def test_kinds_do_not_mix(core: Core) -> None:
    """A folder is no record, whatever its UID."""
    uid = new_uid()
    version = FolderVersion(Signed(b"x", bytes(64)), b"p")
    async with core.database.transaction() as transaction:
        await FOLDERS.put(transaction.connection, [NewRevision(uid, uid, 1, False, version)])

    async with core.database.reading() as connection:
        assert await RECORDS.heads(connection, [uid]) == {}
        assert (await FOLDERS.heads(connection, [uid]))[uid].folder == uid
