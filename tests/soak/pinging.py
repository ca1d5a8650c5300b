"""Connections that echo all the time, and note how long the longest wait was."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self

from tests.soak.target import ECHO

_MESSAGE = 16
DEADLINE_S = 120.0


@asynccontextmanager
async def closing(*writers: asyncio.StreamWriter) -> AsyncIterator[None]:
    """Cut them at the end, and wait until they are gone."""
    try:
        yield
    finally:
        for writer in writers:
            writer.transport.abort()
        for writer in writers:
            with contextlib.suppress(OSError):
                await writer.wait_closed()


class Pinger:
    """One connection through a tunnel; `trips` are its round trips in seconds, by when they began."""

    def __init__(self, port: int, pause_s: float = 0.02) -> None:
        self.trips: list[tuple[float, float]] = []
        self.failure = ""
        self._port = port
        self._pause_s = pause_s

    async def run(self) -> None:
        """Ping until cancelled; every answer must be what was sent."""
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            async with closing(writer):
                writer.write(ECHO)
                await self._ping(reader, writer)
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            self.failure = repr(error)

    async def _ping(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for number in range(1 << 62):
            message = number.to_bytes(_MESSAGE, "big")
            sent_at = time.monotonic()
            writer.write(message)
            # Not `wait_for`: in Python 3.11 it may swallow that it is cancelled.
            async with asyncio.timeout(DEADLINE_S):
                answer = await reader.readexactly(_MESSAGE)
            self.trips.append((sent_at, time.monotonic() - sent_at))
            if answer != message:
                self.failure = f"{answer!r} instead of {message!r}"
                return
            await asyncio.sleep(self._pause_s)

    def longest(self, since: float = 0.0) -> float:
        """The longest round trip that ended after a moment."""
        return max((trip for at, trip in self.trips if at + trip >= since), default=0.0)


class Pingers:
    """Many of them; an async context manager that stops them."""

    def __init__(self, ports: list[int], *, pause_s: float = 0.1) -> None:
        self.all = [Pinger(port, pause_s) for port in ports]
        self._tasks: list[asyncio.Task[None]] = []

    async def all_answer(self, since: float) -> None:
        """Wait until each had a round trip that began after a moment, or failed."""
        async with asyncio.timeout(DEADLINE_S):
            while not all(
                one.failure or (one.trips and one.trips[-1][0] >= since) for one in self.all
            ):
                await asyncio.sleep(0.01)

    @property
    def failures(self) -> list[str]:
        """What went wrong on any of them."""
        return [one.failure for one in self.all if one.failure]

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(one.run()) for one in self.all]
        await self.all_answer(0.0)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
