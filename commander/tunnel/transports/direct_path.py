"""
The direct path: sealed messages on one TCP connection, without TLS, as fast as Python allows.

It owns a plain non-blocking socket instead of an asyncio transport: each read goes into the
thread's shared buffer and is handled in the same callback, each write hands the kernel header and
message without joining them, and only what the kernel did not take is queued.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections import deque
from itertools import islice
from typing import Final

from commander.tunnel.codes import ProtocolViolation
from commander.tunnel.narrow import TcpCounts
from commander.tunnel.path import KIND_DIRECT, STREAM_MESSAGE_BYTES, PathEvents
from commander.tunnel.transports.framing import FrameReader, frame_header
from commander.tunnel.transports.receive_buffer import receive_buffer
from commander.tunnel.transports.tcp_counts import tcp_counts

_HIGH_MARK: Final = 512 * 1024
_LOW_MARK: Final = 256 * 1024
_MAX_PARTS: Final = 32
_FLUSH_S: Final = 1.0
_CLOSE_S: Final = 1.0
# The far end's kernel answered for a process that closed, or is no more.
_GONE: Final = frozenset({errno.ECONNRESET, errno.EPIPE})


class DirectPath:
    """
    A path over a connected TCP socket whose first bytes (`direct_greeting`) were exchanged.

    Takes the socket over: nobody else may read, write or close it.
    """

    kind = KIND_DIRECT
    max_message_bytes = STREAM_MESSAGE_BYTES

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._loop = asyncio.get_running_loop()
        self._reader = FrameReader(receive_buffer())
        self._events: PathEvents | None = None
        self._queue: deque[bytes | memoryview] = deque()
        self._backlog = 0
        self._is_blocked = False
        self._drained: asyncio.Future[None] | None = None
        self._over: asyncio.Future[None] = self._loop.create_future()

    def send(self, message: bytes) -> None:
        """Hand the kernel a message, and queue what it does not take."""
        size = len(message)
        assert size <= self.max_message_bytes
        if self._over.done():
            return
        header = frame_header(size)
        if self._backlog:
            self._queue += (header, message)
            self._backlog += len(header) + size
        else:
            self._send_now(header, message)
        self._is_blocked = self._is_blocked or self._backlog >= _HIGH_MARK

    def backlog_bytes(self) -> int:
        """Bytes that the kernel has not taken."""
        return self._backlog

    def tcp_counts(self) -> TcpCounts | None:
        """What the kernel has counted of it."""
        return None if self._over.done() else tcp_counts(self._socket)

    def start(self, events: PathEvents) -> None:
        """Start reading."""
        assert self._events is None
        self._events = events
        if self._over.done():
            self._loop.call_soon(events.path_lost, "closed before it began")
        else:
            self._loop.add_reader(self._socket, self._readable)

    async def close(self, reason: str = "") -> None:
        """Send what is queued, say that nothing follows, and wait a moment for the other end."""
        if not self._over.done() and self._backlog:
            self._drained = self._drained or self._loop.create_future()
            await asyncio.wait([self._drained, self._over], timeout=_FLUSH_S)
        if not self._over.done() and not self._backlog and self._events is not None:
            # Closing while something unread waits would reset the connection, and what the
            # other end has not read yet with it.
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_WR)
            await asyncio.wait([self._over], timeout=_CLOSE_S)
        self._lose(reason or "closed")

    # --- inside ------------------------------------------------------------------------------

    def _send_now(self, header: bytes, message: bytes) -> None:
        try:
            sent = self._socket.sendmsg((header, message))
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError as error:
            # `send` never calls back.
            self._loop.call_soon(self._fail, error)
            return
        left = len(header) + len(message) - sent
        if not left:
            return
        if sent < len(header):
            self._queue.append(header[sent:])
            self._queue.append(message)
        else:
            self._queue.append(memoryview(message)[-left:])
        self._backlog = left
        self._loop.add_writer(self._socket, self._writable)

    def _writable(self) -> None:
        queue = self._queue
        try:
            sent = self._socket.sendmsg(list(islice(queue, _MAX_PARTS)))
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._fail(error)
            return
        self._backlog -= sent
        while sent:
            first = queue.popleft()
            if sent < len(first):
                queue.appendleft(memoryview(first)[sent:])
                break
            sent -= len(first)
        if not queue:
            self._loop.remove_writer(self._socket)
            if self._drained is not None and not self._drained.done():
                self._drained.set_result(None)
        if self._is_blocked and self._backlog <= _LOW_MARK:
            self._is_blocked = False
            if self._events is not None:
                self._events.path_ready()

    def _readable(self) -> None:
        events = self._events
        assert events is not None
        try:
            count = self._socket.recv_into(self._reader.buffer())
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._fail(error)
            return
        if not count:
            self._lose("the far end closed the connection", gone=True)
            return
        try:
            messages = self._reader.received(count)
        except ProtocolViolation as violation:
            self._lose(violation.message)
            return
        try:
            for message in messages:
                events.message_received(message)
                if self._over.done():
                    return
        except BaseException:
            # A mistake of ours: the loop logs it, and the tunnel must not wait for this path.
            self._lose("the path's owner failed")
            raise

    def _fail(self, error: OSError) -> None:
        self._lose(
            f"the connection broke: {error.strerror or type(error).__name__}",
            gone=error.errno in _GONE,
        )

    def _lose(self, reason: str, *, gone: bool = False) -> None:
        if self._over.done():
            return
        self._over.set_result(None)
        self._queue.clear()
        self._backlog = 0
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._socket.close()
        if self._events is not None:
            self._events.path_lost(reason, gone=gone)
