#!/usr/bin/env python3
"""
Rates and round trips of a tunnel over a long link, each in a time of its own.

    steady.py target ADDRESS PORT         the far end: sinks, sources, echoes; until SIGTERM
    steady.py measure PORT [HOST] ...     every step of one tunnel, as a line of JSON

A rate is what arrives within a window that begins after a warm-up: a fixed size would end inside
TCP's slow start, or not at all. Every step has a deadline; one that fails leaves its reason and the
next begins. Connections end with a reset, and the next step waits until a round trip is short
again, since what the tunnel has taken is still on its way.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import socket
import struct
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

ORDER: Final = struct.Struct(">cII")
"""What to do (E echo, U sink, D source), and for U and D warm-up and window in ms."""
COUNT: Final = struct.Struct(">Q")
BLOCK: Final = os.urandom(256 * 1024)
READ_BYTES: Final = 1024 * 1024
MIB: Final = 1024 * 1024
_LAST_S: Final = 15.0
_JITTER_S: Final = 0.01
_LINGER_NOTHING: Final = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Steps:
    """How long and how often."""

    warm_s: float = 1.5
    window_s: float = 4.0
    pings: int = 50
    connects: int = 10
    parallel: int = 16
    lead_s: float = 0.0
    """A download before all else that nothing is measured of: what adapts to a path has done so then."""
    grace_s: float = 15.0
    """What a step may take beyond its warm-up and window."""


@dataclass
class Found:
    """Figures by name, and for a step without any the reason."""

    figures: dict[str, float] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    idle: list[float] = field(default_factory=list)
    """Round trips in seconds, as all others here."""
    loaded: list[float] = field(default_factory=list)


# --- the target ------------------------------------------------------------------------------


async def serve(listener: socket.socket) -> None:
    """Serve until cancelled."""
    listener.setblocking(False)
    loop, tasks = asyncio.get_running_loop(), set[asyncio.Task[None]]()
    while True:
        connection, _ = await loop.sock_accept(listener)
        task = asyncio.create_task(_serve_one(connection))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


async def _serve_one(connection: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    connection.setblocking(False)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with connection, contextlib.suppress(OSError, EOFError):
        order, warm_ms, window_ms = ORDER.unpack(await _exactly(connection, ORDER.size))
        if order == b"E":
            while data := await loop.sock_recv(connection, 65536):
                await loop.sock_sendall(connection, data)
        elif order == b"U":
            count = await _count(connection, warm_ms / 1000, window_ms / 1000)
            await loop.sock_sendall(connection, COUNT.pack(count))
            # A close with unread bytes would reset the answer away.
            async with asyncio.timeout(_LAST_S):
                await _discard(connection)
        else:
            async with asyncio.timeout((warm_ms + window_ms) / 1000 + _LAST_S):
                while True:
                    await loop.sock_sendall(connection, BLOCK)


async def _exactly(connection: socket.socket, size: int) -> bytes:
    loop, data = asyncio.get_running_loop(), b""
    while len(data) < size:
        more = await loop.sock_recv(connection, size - len(data))
        if not more:
            raise EOFError("closed")
        data += more
    return data


async def _discard(connection: socket.socket) -> None:
    loop, scratch = asyncio.get_running_loop(), bytearray(READ_BYTES)
    while await loop.sock_recv_into(connection, scratch):
        pass


async def _count(connection: socket.socket, warm_s: float, window_s: float) -> int:
    """Bytes that arrive within the window; silence counts as none."""
    loop, scratch, count = asyncio.get_running_loop(), bytearray(READ_BYTES), 0
    begin = loop.time() + warm_s
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout_at(begin + window_s):
            while True:
                size = await loop.sock_recv_into(connection, scratch)
                if not size:
                    raise EOFError("closed within the window")
                if loop.time() >= begin:
                    count += size
    return count


# --- the measuring end -----------------------------------------------------------------------


class Driver:
    """Measures one tunnel through its local port."""

    def __init__(self, host: str, port: int, steps: Steps) -> None:
        self._address = (host, port)
        self._steps = steps
        self._found = Found()
        self._least_s = 0.0

    async def run(self, ready_s: float) -> Found:
        """Wait until the tunnel passes a byte, and measure."""
        if not await self._step("start", self._wait_ready(ready_s), ready_s):
            return self._found
        return await self.measure()

    async def measure(self) -> Found:
        """Take every step; a step that fails leaves its reason."""
        window_s = self._steps.warm_s + self._steps.window_s
        if self._steps.lead_s:
            await self._step("lead", self._lead(), self._steps.lead_s)
        await self._step("idle", self._idle())
        await self._step("first byte", self._first_byte())
        for parallel in (1, self._steps.parallel):
            for order, name in ((b"D", "down"), (b"U", "up")):
                await self._step("settle", self._settle())
                rate = self._rate(order, name, parallel)
                await self._step(f"{name} x{parallel}", rate, window_s)
        return self._found

    async def _step(self, name: str, work: Awaitable[None], least_s: float = 0.0) -> bool:
        began, deadline_s = time.monotonic(), least_s + self._steps.grace_s
        try:
            async with asyncio.timeout(deadline_s):
                await work
        except TimeoutError:
            self._found.failed[name] = f"not done within {deadline_s:.0f} s"
        except (OSError, EOFError) as error:
            self._found.failed[name] = f"{type(error).__name__}: {error}"
        reason = self._found.failed.get(name, "")
        print(f"    {name}: {time.monotonic() - began:.1f} s {reason}", file=sys.stderr, flush=True)
        return not reason

    @contextlib.asynccontextmanager
    async def _connected(self, order: bytes) -> AsyncIterator[socket.socket]:
        """A connection with its order given; reset at the end, so that nothing is sent for nobody."""
        loop, steps = asyncio.get_running_loop(), self._steps
        with socket.socket() as connection:
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.sock_connect(connection, self._address)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOTHING)
            words = (order, int(1000 * steps.warm_s), int(1000 * steps.window_s))
            await loop.sock_sendall(connection, ORDER.pack(*words))
            yield connection

    async def _wait_ready(self, ready_s: float) -> None:
        end = time.monotonic() + ready_s
        while True:
            try:
                async with asyncio.timeout(5), self._connected(b"E") as connection:
                    await _ping(connection)
                    return
            except (OSError, EOFError):
                if time.monotonic() > end:
                    raise
                await asyncio.sleep(0.2)

    async def _idle(self) -> None:
        async with self._connected(b"E") as connection:
            await _ping(connection)
            for _ in range(self._steps.pings):
                self._found.idle.append(await _ping(connection))
        self._least_s = min(self._found.idle)

    async def _first_byte(self) -> None:
        taken = []
        for _ in range(self._steps.connects):
            began = time.perf_counter()
            async with self._connected(b"E") as connection:
                await _ping(connection)
            taken.append(time.perf_counter() - began)
        self._found.figures["first byte"] = sorted(taken)[len(taken) // 2]

    async def _lead(self) -> None:
        async with self._connected(b"D") as connection:
            await _count(connection, 0.0, self._steps.lead_s)

    async def _rate(self, order: bytes, name: str, parallel: int) -> None:
        work: Callable[[], Awaitable[int]] = self._upload if order == b"U" else self._download
        transfers = [asyncio.ensure_future(work()) for _ in range(parallel)]
        beside = [asyncio.ensure_future(self._ping_beside())] if parallel == 1 else []
        try:
            counts = await asyncio.gather(*transfers)
        finally:
            for task in (*transfers, *beside):
                task.cancel()
            await asyncio.wait([*transfers, *beside])
        rates = [count / self._steps.window_s / MIB for count in counts]
        self._found.figures[f"{name} x{parallel}"] = sum(rates)
        self._found.figures[f"{name} x{parallel} least"] = min(rates)

    async def _upload(self) -> int:
        async with self._connected(b"U") as connection:
            sending = asyncio.create_task(_send_on(connection))
            try:
                (count,) = COUNT.unpack(await _exactly(connection, COUNT.size))
            finally:
                sending.cancel()
                await asyncio.wait([sending])
            return int(count)

    async def _download(self) -> int:
        async with self._connected(b"D") as connection:
            return await _count(connection, self._steps.warm_s, self._steps.window_s)

    async def _ping_beside(self) -> None:
        async with self._connected(b"E") as connection:
            await _ping(connection)
            await asyncio.sleep(self._steps.warm_s)
            while True:
                self._found.loaded.append(await _ping(connection))

    async def _settle(self) -> None:
        # Without an idle round trip nothing says what is short.
        if not self._least_s:
            return
        async with self._connected(b"E") as connection:
            while await _ping(connection) > 1.5 * self._least_s + _JITTER_S:
                pass


async def _ping(connection: socket.socket) -> float:
    began = time.perf_counter()
    await asyncio.get_running_loop().sock_sendall(connection, b".")
    await _exactly(connection, 1)
    return time.perf_counter() - began


async def _send_on(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            await asyncio.get_running_loop().sock_sendall(connection, BLOCK)


def main() -> int:
    """Play one end."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    roles = parser.add_subparsers(dest="role", required=True)
    target = roles.add_parser("target")
    target.add_argument("address")
    target.add_argument("port", type=int)
    measure = roles.add_parser("measure")
    measure.add_argument("port", type=int)
    measure.add_argument("host", nargs="?", default="127.0.0.1")
    measure.add_argument("--ready", type=float, default=30.0)
    for name, default in vars(Steps()).items():
        measure.add_argument(f"--{name}", type=type(default), default=default)
    options = parser.parse_args()
    try:
        if options.role == "target":
            with socket.create_server((options.address, options.port), backlog=256) as listener:
                asyncio.run(serve(listener))
        else:
            steps = Steps(**{name: getattr(options, name) for name in vars(Steps())})
            found = asyncio.run(Driver(options.host, options.port, steps).run(options.ready))
            print(json.dumps(vars(found)))
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
