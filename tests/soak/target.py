"""
A target on an event loop in a thread: what a connection gets is chosen by its first byte.

    E   every further byte comes back
    U   takes bytes to the end, then answers with their SHA-256
    D   then a size u64: so many bytes of a known sequence, and the end
    N   reads nothing, and keeps the connection
    F   sends without end
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
import struct
import threading
from types import TracebackType
from typing import Final, Self

ECHO, UPLOAD, DOWNLOAD, NEVER_READS, FLOOD = b"E", b"U", b"D", b"N", b"F"
SIZE: Final = struct.Struct(">Q")
_PIECE = 64 * 1024


def sequence(number: int) -> bytes:
    """A mebibyte that is the same for the same number and unlike all others."""
    return random.Random(number).randbytes(1024 * 1024)


class Target:
    """Listens on a free port of loopback; a context manager."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._server: asyncio.Server | None = None
        self._handlers: set[asyncio.Task[None]] = set()
        self.address = ""
        self.taken = 0
        """Bytes of uploads that arrived."""

    @property
    def connections(self) -> int:
        """How many are open now."""
        return len(self._handlers)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._handlers.add(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await _SERVICES[await reader.readexactly(1)](self, reader, writer)
        finally:
            self._handlers.discard(task)
            writer.close()

    async def _start(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=2048)
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"{host}:{port}"

    async def _stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._handlers):
            task.cancel()
        await asyncio.gather(*self._handlers, return_exceptions=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self.address = asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(30)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _echo(target: Target, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_PIECE):
        writer.write(data)
        await writer.drain()


async def _upload(
    target: Target, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    digest = hashlib.sha256()
    while data := await reader.read(_PIECE):
        digest.update(data)
        target.taken += len(data)
    writer.write(digest.digest())
    await writer.drain()


async def _download(
    target: Target, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    (size,) = SIZE.unpack(await reader.readexactly(SIZE.size))
    content = sequence(size)
    while size:
        piece = content[: min(size, len(content))]
        writer.write(piece)
        await writer.drain()
        size -= len(piece)


async def _never_read(
    target: Target, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    await asyncio.Event().wait()


async def _flood(
    target: Target, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    while True:
        writer.write(bytes(_PIECE))
        await writer.drain()


_SERVICES = {
    ECHO: _echo, UPLOAD: _upload, DOWNLOAD: _download, NEVER_READS: _never_read, FLOOD: _flood,
}  # fmt: skip
