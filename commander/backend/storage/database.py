"""
The store: readers on snapshots, one writer at a time, and one answer to every fault of the disk.

SQLite runs in WAL mode with `synchronous=FULL`: a transaction that was acknowledged is on the
disk. All SQL is made by SQLAlchemy from the tables of `tables.py`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, Engine, Executable, create_engine, event
from sqlalchemy.engine import URL, CursorResult
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from commander.authority.refusals import Code
from commander.errors import Refused
from commander.tasks import spawn

_log = logging.getLogger(__name__)
BUSY_TIMEOUT_MS = 5_000
READERS = 12
THREADS = 2
WRITE_WAIT_S = 20.0
_T = TypeVar("_T")
_PRAGMAS = {
    "journal_mode": "WAL",
    "synchronous": "FULL",
    "foreign_keys": "ON",
    "busy_timeout": str(BUSY_TIMEOUT_MS),
    "temp_store": "MEMORY",
}


class Transaction:
    """A unit of work under way; `connection` runs its statements."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection
        self._after: list[Callable[[], None]] = []

    def on_commit(self, action: Callable[[], None]) -> None:
        """
        Run a plain function right after the data is on the disk, before anyone else may write.

        This is how memory follows the store and never runs ahead of it.
        """
        self._after.append(action)

    def committed(self) -> None:
        """Run what waited for the commit; called by the database."""
        for action in self._after:
            action()


class Database:
    """An open store. Close it when done. `faults` counts what it could not do."""

    def __init__(self, path: Path) -> None:
        """Prepare to use an SQLite file whose schema is current (see `schema.upgrade`)."""
        self.path = path
        # Grows with every commit of this process, the only one that writes, but those that said they
        # write `aside`: what was read when it had the same value is still what the store says.
        self.generation = 0
        self._engine = _make_engine(path)
        self._at_once = _make_sync_engine(path)
        self._threads = ThreadPoolExecutor(THREADS, "store")
        self._writing = asyncio.Lock()
        self._is_broken = False
        self.faults = 0

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """
        A snapshot to read from.

        Raises Refused(store-unavailable) when the disk does not give what it should.
        """
        with self._faults_mapped():
            async with self._engine.connect() as connection, connection.begin():
                yield connection

    async def read(self, load: Callable[[AsyncConnection], Coroutine[Any, Any, _T]]) -> _T:
        """
        What `load` reads from a snapshot, from beginning to end in one thread.

        `reading` crosses between threads some four times a statement, and a busy loop lets each
        crossing wait: this one is for what many wait for, or for many rows. `load` may await
        its connection's `execute` and nothing else, and changes nothing of anybody's.
        Raises Refused(store-unavailable).
        """
        with self._faults_mapped():
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, self._read_now, load)

    def _read_now(self, load: Callable[[AsyncConnection], Coroutine[Any, Any, _T]]) -> _T:
        with self._at_once.connect() as connection, connection.begin():
            work = load(cast("AsyncConnection", _Snapshot(connection)))
            try:
                work.send(None)
            except StopIteration as end:
                return cast("_T", end.value)
            finally:
                work.close()
        raise RuntimeError("a reader in a thread waited for something else than the store")

    @asynccontextmanager
    async def transaction(self, *, aside: bool = False) -> AsyncIterator[Transaction]:
        """
        All or nothing; committed when the block ends without an error.

        `aside`: only times, audit events and the like are written, which no cache of what is served depends on.
        One at a time: others wait at most 20 s. A cancelled caller leaves nothing half done:
        once the commit has begun it is finished, with its `on_commit` actions.
        Raises Refused(store-unavailable) when it could not be written; then nothing was.
        """
        await self._take_turn()
        try:
            with self._faults_mapped():
                async with self._engine.connect() as connection:
                    await connection.execution_options(commander_writes=True)
                    transaction = Transaction(connection)
                    async with connection.begin() as work:
                        yield transaction
                        await _finish(self._commit(work.commit, transaction, aside=aside))
        finally:
            self._writing.release()

    async def close(self) -> None:
        """Wait for the write under way and close every connection."""
        async with self._writing:
            await self._engine.dispose()
            await asyncio.to_thread(self._threads.shutdown)
            self._at_once.dispose()

    @contextmanager
    def _faults_mapped(self) -> Iterator[None]:
        try:
            yield
        except IntegrityError:
            raise
        except PoolTimeout:
            self.faults += 1
            raise _unavailable("too many requests are waiting for the database") from None
        except DBAPIError as error:
            self.faults += 1
            # The driver's text names files and SQL: it is for the log of the server only.
            _log.error("store: %s: %s", type(error.orig).__name__, str(error.orig)[:200])
            raise _unavailable("the database cannot be used now") from None

    async def _take_turn(self) -> None:
        try:
            async with asyncio.timeout(WRITE_WAIT_S):
                await self._writing.acquire()
        except TimeoutError:
            self.faults += 1
            raise _unavailable("too many writes are waiting") from None
        if self._is_broken:
            self._writing.release()
            raise _unavailable("the disk failed; the server has to be restarted")

    async def _commit(
        self,
        commit: Callable[[], Coroutine[Any, Any, None]],
        transaction: Transaction,
        *,
        aside: bool,
    ) -> None:
        try:
            await commit()
        except DBAPIError as error:
            # After a failed fsync nobody knows what is on the disk; a second try would only
            # seem to succeed. A full disk is no such failure: SQLite rolled back.
            self._is_broken = "I/O error" in str(error.orig)
            # It may still be within the failed transaction, which nobody must go on with.
            await transaction.connection.invalidate()
            raise
        self.generation += not aside
        transaction.committed()


class _Snapshot:
    """A connection whose `execute` is there at once, for those who expect an asynchronous one."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def execute(self, statement: Executable) -> CursorResult[Any]:
        return self._connection.execute(statement)


async def _finish(work: Coroutine[Any, Any, None]) -> None:
    """Await a coroutine to its end even when the caller is cancelled meanwhile."""
    task = spawn(work, name="commit")
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        if not task.done():
            await asyncio.wait([task])
        if not task.cancelled():
            task.exception()
        raise


def _unavailable(reason: str) -> Refused:
    return Refused(reason, code=Code.STORE_UNAVAILABLE, hint="try again in a few seconds")


def _make_engine(path: Path) -> AsyncEngine:
    url = URL.create("sqlite+aiosqlite", database=str(path))
    engine = create_async_engine(
        url, pool_size=READERS, max_overflow=0, pool_timeout=20, hide_parameters=True
    )
    event.listen(engine.sync_engine, "connect", _prepare)
    event.listen(engine.sync_engine, "begin", _begin)
    return engine


def _make_sync_engine(path: Path) -> Engine:
    engine = create_engine(
        URL.create("sqlite+pysqlite", database=str(path)), poolclass=QueuePool, pool_size=THREADS,
        max_overflow=0, connect_args={"check_same_thread": False}, hide_parameters=True,
    )  # fmt: skip
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine


def _prepare(connection: Any, entry: ConnectionPoolEntry) -> None:
    # The driver must not begin transactions by itself: `_begin` says which kind.
    connection.isolation_level = None
    cursor = connection.cursor()
    for name, value in _PRAGMAS.items():
        cursor.execute(f"PRAGMA {name}={value}")
    cursor.close()


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("commander_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
