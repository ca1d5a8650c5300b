"""The store under stress: full disks, broken commits, cancelled callers."""

from __future__ import annotations

import asyncio
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import column, event, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection

from commander.authority.refusals import Code
from commander.backend.core import Core
from commander.backend.storage import changes
from commander.errors import CommanderError, Refused
from commander.wire.records import RecordData
from tests.support.backend_server import refused, running
from tests.support.privilege import privileged

pytestmark = pytest.mark.integration


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = privileged("mount", "-t", "tmpfs", "-o", "size=2m,mode=0777", "tmpfs", str(place))
    subprocess.run(mount, check=True)
    try:
        data = place / "data"
        data.mkdir(mode=0o700)
        yield data
    finally:
        subprocess.run(privileged("umount", "-l", str(place)), check=True)


async def cursor(core: Core) -> int:
    async with core.database.reading() as connection:
        return await changes.cursor(connection)


async def test_failed_block_leaves_nothing_and_does_not_tell_memory(core: Core) -> None:
    """`on_commit` runs after the commit or never."""
    told: list[int] = []

    async def fail() -> None:
        async with core.database.transaction() as transaction:
            await changes.reserve(transaction.connection, 5)
            transaction.on_commit(lambda: told.append(1))
            raise KeyError

    with pytest.raises(KeyError):
        await fail()
    assert (await cursor(core), told) == (0, [])
    async with core.database.transaction() as transaction:
        await changes.reserve(transaction.connection, 5)
        transaction.on_commit(lambda: told.append(2))
        assert told == []
    assert (await cursor(core), told) == (5, [2])


async def test_writers_take_turns_and_readers_do_not_wait(core: Core) -> None:
    """A hundred increments are a hundred, and a reader sees the state before an open write."""

    async def write() -> None:
        async with core.database.transaction() as transaction:
            await changes.reserve(transaction.connection, 1)

    await asyncio.gather(*(write() for _ in range(100)))

    assert await cursor(core) == 100
    async with core.database.transaction() as transaction:
        await changes.reserve(transaction.connection, 1)
        assert await cursor(core) == 100


async def test_cancelled_writer_leaves_memory_and_store_agreed(core: Core) -> None:
    """Wherever the cancellation falls, the store has the change exactly when memory was told."""
    told = 0

    async def write() -> None:
        def tell() -> None:
            nonlocal told
            told += 1

        async with core.database.transaction() as transaction:
            await changes.reserve(transaction.connection, 1)
            transaction.on_commit(tell)

    for steps in range(60):
        task = asyncio.ensure_future(write())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    assert await cursor(core) == told
    await write()
    assert await cursor(core) == told


async def test_disk_that_fails_to_sync_stops_all_writing(core: Core) -> None:
    """After it nobody knows what is on the disk: a second try must not seem to succeed."""

    def fail(connection: object) -> None:
        raise OperationalError("COMMIT", {}, Exception("disk I/O error"))

    event.listen(core.database._engine.sync_engine, "commit", fail)
    with refused(Code.STORE_UNAVAILABLE):
        async with core.database.transaction() as transaction:
            await changes.reserve(transaction.connection, 1)
    event.remove(core.database._engine.sync_engine, "commit", fail)

    begun: list[bool] = []
    with refused(Code.STORE_UNAVAILABLE):
        async with core.database.transaction():
            begun.append(True)
    assert not begun
    assert await cursor(core) == 0


async def test_reader_in_a_thread_sees_one_snapshot_and_waits_for_nothing_else(core: Core) -> None:
    """A commit in between is not seen; awaiting anything but the store is a fault of ours."""
    began, go_on = threading.Event(), threading.Event()

    async def twice(connection: AsyncConnection) -> tuple[int, int]:
        first = await changes.cursor(connection)
        began.set()
        assert go_on.wait(60)
        return first, await changes.cursor(connection)

    reader = asyncio.create_task(core.database.read(twice))
    assert await asyncio.to_thread(began.wait, 60)
    async with core.database.transaction() as transaction:
        await changes.reserve(transaction.connection, 3)
    go_on.set()

    assert await reader == (0, 0)
    assert await core.database.read(changes.cursor) == 3

    async def wait(connection: AsyncConnection) -> None:
        await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="waited for something else"):
        await core.database.read(wait)


async def test_fault_of_a_reader_in_a_thread_is_told_like_any_other(core: Core) -> None:
    """Without the driver's words."""

    async def fail(connection: AsyncConnection) -> None:
        await connection.execute(select(column("no_such_thing")))

    with refused(Code.STORE_UNAVAILABLE):
        await core.database.read(fail)
    assert core.database.faults == 1


async def test_full_disk_refuses_whole_commits_and_recovers_with_space(small_disk: Path) -> None:
    """503 inside and out, nothing half stored, reading goes on, and writing too once there is room."""
    async with running(small_disk) as server:
        admin = await server.set_up()
        stored = 0
        filler = small_disk.parent / "filler"
        filler.write_bytes(bytes(256 * 1024))
        code = ""
        for number in range(200):
            try:
                await admin.vault.create_record(_large(number))
            except CommanderError as error:
                code = error.code
                break
            stored += 1
        assert code == Code.STORE_UNAVAILABLE
        seq, at = server.core.state.seq, await cursor(server.core)

        await admin.vault.sync()
        assert len(admin.vault.view.records) == stored
        with refused(Code.STORE_UNAVAILABLE):
            await admin.vault.create_record(_large(0))
        assert (server.core.state.seq, await cursor(server.core)) == (seq, at)

        filler.unlink()
        await admin.vault.create_record(_large(0))
        await admin.vault.create_shared_folder("F")
        assert server.core.state.seq == seq + 1


def _large(number: int) -> RecordData:
    data = RecordData.create("login", str(number))
    data.content["notes"] = "x" * 50_000
    return data


async def test_refusal_says_nothing_of_files_or_sql(core: Core) -> None:
    """The driver's words stay in the server's log."""
    with pytest.raises(Refused) as caught:
        async with core.database.reading():
            raise OperationalError("SELECT secret", {}, Exception("/var/lib/x is locked"))

    assert "secret" not in str(caught.value)
    assert "/var" not in str(caught.value)
