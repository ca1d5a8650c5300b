"""
Gate test T08: 1 GiB over 100 connections while the path is replaced by force 50 times.

Half of the connections send, half receive. Each time a fiftieth has passed, every TCP connection
below the tunnel is broken; the stall is the time from there until bytes flow again.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Iterator

from tests.soak import Figure, Size
from tests.soak.measuring import percentile
from tests.soak.setting import RECORD, Setting, cut_between
from tests.soak.target import DOWNLOAD, SIZE, UPLOAD, sequence
from tests.support.processes import Child

BYTES = 1 << 30
CONNECTIONS = 100
REPLACEMENTS = 50
STALL_LIMIT_S = 3.0
DEADLINE_S = 60.0
_PIECE = 64 * 1024


def run(size: Size) -> Iterator[Figure]:
    """Transfer, cut, and compare every hash."""
    connections = size.of(CONNECTIONS, least=4)
    each = size.of(BYTES, least=8 << 20) // connections
    replacements = size.of(REPLACEMENTS, least=3)
    with Setting(size.folder) as setting:
        tunnel, port = setting.open_tunnel()
        traffic = _Traffic(setting, tunnel, port, each, connections, size)
        try:
            asyncio.run(traffic.run(replacements))
        except BaseException as error:
            # What the tunnel knows of itself is the first thing that whoever looks for the cause asks.
            error.add_note(setting.user("pam", "tunnel", "show", RECORD, "--format", "json"))
            error.add_note(f"had arrived: {traffic.arrived}")
            raise
        assert tunnel.is_running, tunnel.output
    yield Figure("bytes", connections * each / (1 << 20), "MiB")
    yield Figure("connections", connections, "")
    yield Figure("forced replacements", len(traffic.stalls), "")
    yield Figure("replacements that were missed", replacements - len(traffic.stalls), "", 0)
    yield Figure("connections reset or with another hash", len(traffic.wrong), "", 0)
    yield Figure("stall, median", percentile(traffic.stalls, 50), "s")
    yield Figure("stall, p99", percentile(traffic.stalls, 99), "s", STALL_LIMIT_S)
    assert not traffic.wrong, traffic.wrong[:3]


class _Traffic:
    def __init__(
        self, setting: Setting, tunnel: Child, port: int, each: int, connections: int, size: Size
    ) -> None:
        self.stalls: list[float] = []
        self.wrong: list[str] = []
        self.arrived: dict[int, int] = {}
        """Bytes of each connection that receives."""
        self._parts = tunnel, setting.server, setting.gateway
        self._target = setting.target
        self._port = port
        self._each = each
        self._count = connections
        self._size = size
        self._received = 0
        self._is_open = asyncio.Event()

    @property
    def _moved(self) -> int:
        """Bytes that arrived: what senders wrote may wait in buffers while nothing flows."""
        return self._received + self._target.taken

    async def run(self, replacements: int) -> None:
        """All connections, and beside them the cuts."""
        self._is_open.set()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._cut(replacements))
            for number in range(self._count):
                group.create_task(self._send(number) if number % 2 else self._receive(number))

    async def _cut(self, replacements: int) -> None:
        total = self._each * self._count
        for number in range(1, replacements + 1):
            await self._until(total * number // (replacements + 1))
            self._is_open.clear()
            begin, moved = time.monotonic(), self._moved
            async with asyncio.timeout(DEADLINE_S):
                while not await asyncio.to_thread(cut_between, *self._parts):
                    await asyncio.sleep(0.01)
            self._is_open.set()
            # More than what had left the tunnel already.
            await self._until(min(total, moved + total // (4 * replacements)))
            self.stalls.append(time.monotonic() - begin)
            self._size.tell(f"replacement {number} of {replacements}: {self.stalls[-1]:.2f} s")

    async def _until(self, moved: int) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while self._moved < moved:
                await asyncio.sleep(0.005)

    async def _send(self, number: int) -> None:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            writer.write(UPLOAD)
            digest, content, left = hashlib.sha256(), sequence(number), self._each
            while left:
                await self._is_open.wait()
                piece = content[: min(left, _PIECE)]
                content = content[len(piece) :] + piece
                digest.update(piece)
                writer.write(piece)
                await writer.drain()
                left -= len(piece)
            writer.write_eof()
            async with asyncio.timeout(DEADLINE_S):
                answer = await reader.readexactly(32)
            writer.close()
            if answer != digest.digest():
                self.wrong.append(f"connection {number}: another hash")
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            self.wrong.append(f"connection {number}: {error!r}")

    async def _receive(self, number: int) -> None:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            writer.write(DOWNLOAD + SIZE.pack(self._each))
            digest, got = hashlib.sha256(), 0
            while data := await _read(reader):
                digest.update(data)
                got += len(data)
                self.arrived[number] = got
                self._received += len(data)
            writer.close()
            if digest.digest() != _digest_of(self._each):
                self.wrong.append(f"connection {number}: another hash after {got} bytes")
        except (OSError, TimeoutError) as error:
            self.wrong.append(f"connection {number}: {error!r}")


async def _read(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(DEADLINE_S):
        return await reader.read(_PIECE)


def _digest_of(size: int) -> bytes:
    content, digest = sequence(size), hashlib.sha256()
    for _ in range(size // len(content)):
        digest.update(content)
    digest.update(content[: size % len(content)])
    return digest.digest()
