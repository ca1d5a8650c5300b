from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import Final, Protocol, cast

from commander.tunnel import frames
from commander.tunnel.codes import ResetCode, StreamRefused
from commander.tunnel.mux import Mux
from commander.tunnel.reports import StreamReport

READ_BYTES: Final = 256 * 1024
_PAUSE_BELOW: Final = 4 * 1024
_RESUME_FROM: Final = 16 * 1024
_LINGER_NOTHING: Final = struct.pack("ii", 1, 0)
_FIRST_BUFFER_LIMIT: Final = 64 * 1024


class PipeOwner(Protocol):
    """What a pipe needs of the engine."""

    mux: Mux
    read_buffer: memoryview

    def flush(self) -> None:
        """Send what the mux has, as far as the path takes it."""
        ...

    def pipe_opened(self, pipe: Pipe) -> None:
        """The pipe has a stream id now."""
        ...

    def pipe_paused(self, pipe: Pipe) -> None:
        """Call `resume` once the mux has room again."""
        ...

    def pipe_closed(self, pipe: Pipe) -> None:
        """The pipe's socket is gone; `report` tells why."""
        ...


class Pipe(asyncio.BufferedProtocol):
    """
    One TCP connection at one end of a tunnel: its socket on one side, its stream on the other.

    TCP's own meaning is kept: an end of file closes one direction, a reset ends both at once
    and arrives as a reset. The socket is not read while the stream has no room, and the
    stream gets no credit while the socket does not drain.
    """

    def __init__(self, owner: PipeOwner, meta: bytes, since: float, stream: int = 0) -> None:
        self.stream = stream
        self._owner = owner
        self._meta = meta
        self._since = since
        self._transport: asyncio.Transport | None = None
        self._early: list[bytes] = []
        self._delivered = 0
        self._drained = 0
        self._sent = 0
        self._buffer_limit = _FIRST_BUFFER_LIMIT
        self._room = 0
        self._is_eof_read = False
        self._is_eof_delivered = False
        self._is_paused = False
        self._is_over = False
        self._cause = ""
        self._reason = ""
        self._by_peer = False

    def report(self) -> StreamReport:
        """What is known of the connection so far."""
        return StreamReport(
            self.stream,
            self._meta,
            self._delivered,
            self._sent,
            self._since,
            self._cause,
            self._reason,
            self._by_peer,
            self._state(),
        )

    def _state(self) -> str:
        if self._is_over:
            return ""
        if self._transport is None:
            return "connecting"
        if self._is_eof_read:
            return "local-closed"
        return "target-closed" if self._is_eof_delivered else "open"

    # --- the socket's side -----------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Open the stream at the client, accept it at the gateway."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(self._buffer_limit, self._buffer_limit // 2)
        sock = self._transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # Urgent bytes stay in their place; the urgent mark itself is not carried.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
        if self._is_over:
            self._abort()
        elif self.stream == 0:
            self._open()
            # The first bytes are often here already, and are read before this: so they go with OPEN.
            loop = asyncio.get_running_loop()
            loop.call_soon(loop.call_soon, self._owner.flush)
            return
        else:
            self._owner.mux.accept(self.stream)
            self._deliver_early()
        self._owner.flush()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Lend the engine's buffer; its content is taken in `buffer_updated`, before another's."""
        self._room = room = self._owner.mux.room(self.stream)
        return self._owner.read_buffer[: min(max(room, 1), READ_BYTES)]

    def buffer_updated(self, nbytes: int) -> None:
        """Pass on what the socket gave."""
        owner = self._owner
        self._sent += nbytes
        owner.mux.send(self.stream, bytes(owner.read_buffer[:nbytes]))
        owner.flush()
        # What was sent meanwhile has only made more room.
        is_short = self._room - nbytes < _PAUSE_BELOW
        if is_short and owner.mux.room(self.stream) < _PAUSE_BELOW:
            self._pause()

    def eof_received(self) -> bool:
        """Pass on the end of this direction; the other one stays open."""
        self._is_eof_read = True
        self._owner.mux.eof(self.stream)
        self._owner.flush()
        return not self._is_eof_delivered

    def resume_writing(self) -> None:
        """The socket drained: give credit for it."""
        self._give_credit()
        self._owner.flush()

    def pause_writing(self) -> None:
        """Nothing to do: credit is only given for what the socket took."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the far end, unless both directions ended in order."""
        if not self._is_over:
            if exc is None and self._is_eof_read and self._is_eof_delivered:
                self._finish("closed", "")
            else:
                code = ResetCode.ABORTED
                self._owner.mux.reset(self.stream, code, "connection reset")
                self._finish(code.label, "connection reset")
            self._owner.flush()
        self._transport = None
        self._owner.pipe_closed(self)

    # --- the stream's side -----------------------------------------------------------------

    def deliver(self, data: frames.Bytes) -> None:
        """Write bytes of the far end to the socket, or keep them until there is one."""
        if self._transport is None:
            # Bounded by the credit that a stream has before it is accepted.
            self._early.append(bytes(data))
            return
        self._delivered += len(data)
        self._transport.write(data)
        self._give_credit()

    def deliver_eof(self) -> None:
        """The far end sends no more."""
        self._is_eof_delivered = True
        if self._transport is not None and not self._transport.is_closing():
            self._pass_eof(self._transport)

    def end(self, code: ResetCode, reason: str, *, by_peer: bool) -> None:
        """The stream is over: reset the socket. The mux knows already."""
        if self._is_over:
            return
        self._finish(code.label, reason)
        self._by_peer = by_peer
        if self._transport is not None:
            self._abort()

    def refuse(self, code: ResetCode, reason: str) -> None:
        """The target cannot be connected: tell the client, and be done."""
        self._owner.mux.reset(self.stream, code, reason)
        self.end(code, reason, by_peer=False)
        self._owner.pipe_closed(self)
        self._owner.flush()

    def resume(self) -> bool:
        """Read the socket again if the stream has room; tells whether it does."""
        if self._owner.mux.room(self.stream) < _RESUME_FROM and not self._is_over:
            return False
        self._is_paused = False
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
        return True

    # --- inside ----------------------------------------------------------------------------

    def _open(self) -> None:
        try:
            self.stream = self._owner.mux.open(self._meta)
        except StreamRefused as refusal:
            self._finish(refusal.reset_code.label, refusal.message)
            self._abort()
            return
        self._owner.pipe_opened(self)

    def _deliver_early(self) -> None:
        early, self._early = self._early, []
        for data in early:
            self.deliver(data)
        if self._is_eof_delivered and self._transport is not None:
            self._pass_eof(self._transport)

    def _pass_eof(self, transport: asyncio.Transport) -> None:
        if self._is_eof_read:
            transport.close()
        else:
            with contextlib.suppress(OSError):  # the socket is gone; connection_lost tells
                transport.write_eof()

    def _pause(self) -> None:
        if not self._is_paused and self._transport is not None and not self._is_eof_read:
            self._is_paused = True
            self._transport.pause_reading()
            self._owner.pipe_paused(self)

    def _give_credit(self) -> None:
        if self._transport is None:
            return
        mux = self._owner.mux
        waiting = self._transport.get_write_buffer_size()
        taken = self._delivered - waiting
        mux.drained(self.stream, taken - self._drained)
        self._drained = taken
        if waiting == 0 and self._buffer_limit:
            return
        # Below the limit nobody tells us that the rest was taken, and when credit is short the
        # far end may wait for just that: then we want to hear when the buffer is empty.
        limit = mux.buffer_limit(self.stream)
        limit = limit if waiting == 0 or waiting > limit else 0
        if limit != self._buffer_limit:
            self._buffer_limit = limit
            self._transport.set_write_buffer_limits(limit, limit // 2)

    def _finish(self, cause: str, reason: str) -> None:
        self._is_over = True
        self._cause = cause
        self._reason = reason

    def _abort(self) -> None:
        assert self._transport is not None
        sock = self._transport.get_extra_info("socket")
        if sock is not None:
            # Without lingering, a close sends RST instead of FIN: cut data must not
            # look complete.
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOTHING)
        self._transport.abort()
