"""
The relay path by WebSocket, for networks and proxies that let only HTTP through.

Its messages carry pieces of the stream of bytes that a relay stream carries (`framing`), so that the
two ends of a tunnel may come to the relay in different ways.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Final

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from commander.tasks import cancel_and_wait, spawn
from commander.tunnel.codes import ProtocolViolation
from commander.tunnel.path import KIND_RELAY, STREAM_MESSAGE_BYTES, PathEvents
from commander.tunnel.transports.framing import FrameReader, frame_header
from commander.tunnel.transports.receive_buffer import receive_buffer
from commander.wire.relay import PEER_GONE, farewell_text

RELAY_OPTIONS: Final[dict[str, Any]] = {
    "compression": None,
    "max_size": 128 * 1024,
    "max_queue": (64, 16),
    "write_limit": 256 * 1024,
    "ping_interval": None,
    "close_timeout": 2.0,
}
"""
What `websockets.asyncio.client.connect` must be given for a connection that becomes a path.

Sealed bytes do not compress, and the tunnel has a heartbeat of its own.
"""

_PIECE_BYTES: Final = 64 * 1024
_HIGH_MARK: Final = 512 * 1024
_LOW_MARK: Final = 256 * 1024
_FLUSH_S: Final = 1.0
_CLOSE_S: Final = 3.0
_CLOSE_REASON_BYTES: Final = 100


class WebSocketPath:
    """
    A relay path over an open client connection, made with `RELAY_OPTIONS`.

    Takes the connection over: nobody else may receive from it or close it. A text
    message or one over the limit loses the path.
    """

    kind = KIND_RELAY
    max_message_bytes = STREAM_MESSAGE_BYTES

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._events: PathEvents | None = None
        self._frames = FrameReader(receive_buffer())
        self._queue: deque[bytes] = deque()
        self._backlog = 0
        self._is_blocked = False
        self._wake = asyncio.Event()
        self._drained = asyncio.Event()
        self._drained.set()
        self._is_lost = False
        self._reader: asyncio.Task[None] | None = None
        self._writer: asyncio.Task[None] | None = None

    def send(self, message: bytes) -> None:
        """Queue one message for the writer."""
        assert len(message) <= self.max_message_bytes
        if self._is_lost:
            return
        framed = frame_header(len(message)) + message
        for start in range(0, len(framed), _PIECE_BYTES):
            self._queue.append(framed[start : start + _PIECE_BYTES])
        self._backlog += len(framed)
        self._is_blocked = self._is_blocked or self._backlog >= _HIGH_MARK
        self._drained.clear()
        self._wake.set()

    def backlog_bytes(self) -> int:
        """Bytes that the socket has not taken."""
        return self._backlog

    def start(self, events: PathEvents) -> None:
        """Start reading and writing."""
        assert self._events is None
        self._events = events
        self._reader = spawn(self._read(), name="relay-read")
        self._writer = spawn(self._write(), name="relay-write")

    async def close(self, reason: str = "") -> None:
        """Send what is queued, as far as a second allows, and close the connection."""
        if not self._is_lost and self._writer is not None:
            try:
                async with asyncio.timeout(_FLUSH_S):
                    await self._drained.wait()
            except TimeoutError:
                self._connection.transport.abort()
        try:
            async with asyncio.timeout(_CLOSE_S):
                await self._connection.close(reason=reason[:_CLOSE_REASON_BYTES])
        except TimeoutError:
            self._connection.transport.abort()
        await cancel_and_wait(self._writer)
        self._lose(reason or "closed")
        if self._reader is not asyncio.current_task():
            await cancel_and_wait(self._reader)

    async def _read(self) -> None:
        events, connection = self._events, self._connection
        assert events is not None
        try:
            while True:
                message = await connection.recv()
                if isinstance(message, str):
                    raise ProtocolViolation("the relay sent a message of another kind")
                for whole in self._frames.feed(message):
                    events.message_received(whole)
        except ProtocolViolation as violation:
            self._lose(violation.message)
            await connection.close(1003)
        except ConnectionClosed as closed:
            code = closed.rcvd.code if closed.rcvd is not None else None
            self._lose(farewell_text(code), gone=code == PEER_GONE)
        finally:
            # Whatever ended the reader, the tunnel must not wait for it.
            self._lose("the relay path stopped")

    async def _write(self) -> None:
        queue, connection = self._queue, self._connection
        try:
            while True:
                while queue:
                    message = queue.popleft()
                    await connection.send(message)
                    self._backlog -= len(message)
                    self._tell_ready()
                self._drained.set()
                self._wake.clear()
                await self._wake.wait()
        except ConnectionClosed:
            # The reader tells it, with the reason.
            self._drained.set()

    def _tell_ready(self) -> None:
        if self._is_blocked and self._backlog <= _LOW_MARK:
            self._is_blocked = False
            if self._events is not None and not self._is_lost:
                self._events.path_ready()

    def _lose(self, reason: str, *, gone: bool = False) -> None:
        if self._is_lost:
            return
        self._is_lost = True
        self._queue.clear()
        self._backlog = 0
        self._drained.set()
        if self._writer is not None:
            self._writer.cancel()
        if self._events is not None:
            self._events.path_lost(reason, gone=gone)
