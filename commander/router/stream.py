"""
One side of a relay on a connection of its own: a signed prefix, then nothing but bytes to copy.

TLS ends before this (ALPN chose it on the server's one port, or a relay port with or without TLS).
Whoever has not shown a good prefix is a bounded stranger; from the moment the other side is there,
what is read is written to it in the same callback, and reading stops while it does not take more.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from commander.errors import InvalidInput
from commander.router import limits
from commander.router.ports import Principal
from commander.router.protocol import CloseCode
from commander.router.relay import Leg, Moved
from commander.wire.relay import (
    PREFIX_LIMIT,
    RelayAnswer,
    RelayPrefix,
    read_prefix,
    write_answer,
    write_farewell,
)

Opened = Callable[["StreamConnection", RelayPrefix], None]
_KEEPALIVE: Final = (("TCP_KEEPIDLE", 8), ("TCP_KEEPINTVL", 4), ("TCP_KEEPCNT", 3))


class StreamDoor:
    """
    Makes connections that begin with a prefix, and knows those that have not been let in.

    Who has not shown a prefix makes room for newer ones, the oldest first: an honest one shows it
    at once. `counters` tells how strangers ended: broken, late, pushed out, too many being judged.
    """

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self.strangers: dict[StreamConnection, None] = {}
        self.judged: set[StreamConnection] = set()
        # Read into and written on within one callback: one is enough for all connections of a loop.
        self.buffer = memoryview(bytearray(limits.STREAM_BYTES))

    def accept(self, opened: Opened) -> StreamConnection:
        """A protocol for one connection; `opened` is called once with its prefix."""
        return StreamConnection(self, opened)

    def close(self) -> None:
        """Cut off everybody who has not been let in."""
        for stranger in (*self.strangers, *self.judged):
            stranger.abort()


class StreamConnection(asyncio.BufferedProtocol):
    """
    A connection; after its prefix call `accept` or `refuse`.

    Then either let it `flow_into` another one, or `read` from it; `write` to it at any time, and
    `end` it with the relay's last word.
    """

    def __init__(self, door: StreamDoor, opened: Opened) -> None:
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.address = ""
        self._door = door
        self._opened: Opened | None = opened
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._early = b""
        self._arrived = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._source: StreamConnection | None = None
        self._sink: StreamConnection | None = None
        self._moved: Moved = _uncounted
        self._is_ending = False

    # --- what the other parts of the router do ------------------------------------------------

    def accept(self) -> None:
        """Tell the peer that it is in; what it sends from now on is the other side's."""
        self._forget()
        self.write(write_answer(RelayAnswer(0)))
        self._resume()

    def refuse(self, answer: RelayAnswer) -> None:
        """Tell the peer why not, and close."""
        self._forget()
        self.write(write_answer(answer))
        self._close_soon()

    def write(self, data: bytes) -> None:
        """Hand in bytes; the caller minds `wait_writable`, or is the source that flows in here."""
        if self._transport is not None and not self._is_ending:
            self._transport.write(data)

    def waiting_bytes(self) -> int:
        """What was written and the kernel has not taken."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    async def wait_writable(self) -> None:
        """Return once the peer has taken most of what was written. Raises OSError when it is gone."""
        await self._writable.wait()
        if self.lost.done():
            raise ConnectionResetError("the relay stream is gone")

    def flow_into(self, sink: StreamConnection, moved: Moved) -> None:
        """Write everything that comes to another connection, as fast as that takes it."""
        self._sink, self._moved = sink, moved
        sink._source = self
        early, self._early = self._early, b""
        if early:
            sink.write(early)
            moved(len(early))
        if sink._writable.is_set():
            self._resume()

    async def read(self) -> bytes:
        """The next bytes; empty at the end."""
        while not self._early and not self.lost.done():
            self._arrived.clear()
            self._resume()
            await self._arrived.wait()
        data, self._early = self._early, b""
        return data

    def end(self, code: int) -> None:
        """
        Say why, and leave the closing to the peer, who has a moment for it.

        Closed at once, a connection on which the peer is still writing would be reset, and our
        last word lost with it.
        """
        transport = self._transport
        if transport is None or self._is_ending:
            return
        self.write(write_farewell(code))
        self._is_ending = True
        self._sink = None
        if transport.can_write_eof():
            transport.write_eof()
        self._resume()
        asyncio.get_running_loop().call_later(limits.CLOSE_S, self.abort)

    def abort(self) -> None:
        """Cut the connection now."""
        self._forget()
        if self._transport is not None:
            self._transport.abort()

    # --- asyncio ------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Give a stranger ten seconds for its prefix."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.address = str((transport.get_extra_info("peername") or ("",))[0])
        if len(self._door.strangers) >= limits.MAX_PREFIXES:
            self._door.counters["pushed-out"] += 1
            next(iter(self._door.strangers)).abort()
        self._door.strangers[self] = None
        transport.set_write_buffer_limits(high=limits.STREAM_BYTES)
        _watch(transport.get_extra_info("socket"))
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(limits.PREFIX_S, self._late)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go: a stranger's into a small part of it."""
        if self._sink is not None or self._is_ending:
            return self._door.buffer
        room = PREFIX_LIMIT if self._opened is not None else limits.EARLY_BYTES
        return self._door.buffer[: max(1, room - len(self._early))]

    def buffer_updated(self, nbytes: int) -> None:
        """Write what came to the other side, or keep the little that may come before it is there."""
        if self._is_ending:
            return
        data = bytes(self._door.buffer[:nbytes])
        sink = self._sink
        if sink is not None:
            sink.write(data)
            self._moved(nbytes)
            return
        self._early += data
        self._arrived.set()
        if self._opened is not None:
            self._read_prefix(self._opened)
        elif len(self._early) >= limits.EARLY_BYTES:
            self._pause()

    def pause_writing(self) -> None:
        """The peer is slow: read no more from the other side."""
        self._writable.clear()
        if self._source is not None:
            self._source._pause()

    def resume_writing(self) -> None:
        """The peer took most of it: go on."""
        self._writable.set()
        if self._source is not None:
            self._source._resume()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is over, whoever ended it."""
        self._forget()
        self._transport = None
        self._sink = None
        if not self.lost.done():
            self.lost.set_result(None)
        self._arrived.set()
        self._writable.set()

    # --- inside -------------------------------------------------------------------------------

    def _read_prefix(self, opened: Opened) -> None:
        try:
            found = read_prefix(self._early)
            if found is None:
                return
            prefix, size = found
            if size != len(self._early):
                raise InvalidInput("bytes follow the prefix before it was answered")
        except InvalidInput:
            self._door.counters["broken"] += 1
            self.abort()
            return
        if len(self._door.judged) >= limits.MAX_JUDGED:
            self._door.counters["too-many"] += 1
            self.abort()
            return
        self._early = b""
        self._opened = None
        self._door.strangers.pop(self, None)
        self._door.judged.add(self)
        self._pause()
        opened(self, prefix)

    def _late(self) -> None:
        self._door.counters["late"] += 1
        self.abort()

    def _forget(self) -> None:
        self._door.strangers.pop(self, None)
        self._door.judged.discard(self)
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _pause(self) -> None:
        if self._transport is not None and not self._is_ending:
            self._transport.pause_reading()

    def _resume(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def _close_soon(self) -> None:
        if self._transport is None:
            return
        self._is_ending = True
        self._transport.close()
        asyncio.get_running_loop().call_later(limits.CLOSE_S, self.abort)


class StreamLeg(Leg):
    """A side of a relay that came as a stream."""

    def __init__(self, connection: StreamConnection, principal: Principal) -> None:
        super().__init__(principal)
        self._connection = connection

    async def copy(self, moved: Moved) -> None:
        """Flow into a partner of the same kind; hand pieces to another."""
        connection = self._connection
        waiting: set[asyncio.Future[Any]] = {self.partner, connection.lost}
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        partner = self.partner.result() if self.partner.done() else None
        if partner is None:
            return
        if isinstance(partner, StreamLeg):
            connection.flow_into(partner._connection, moved)
            await asyncio.shield(connection.lost)
            return
        while data := await connection.read():
            await partner.send(data)
            moved(len(data))

    async def send(self, data: bytes) -> None:
        """Write, and wait while the peer does not take it."""
        self._connection.write(data)
        await self._connection.wait_writable()

    def waiting_bytes(self) -> int:
        """What this side has not taken."""
        return self._connection.waiting_bytes()

    async def wait_closed(self) -> None:
        """The connection is closed, or cut five seconds later."""
        await asyncio.shield(self._connection.lost)

    def _shut(self, code: CloseCode, reason: str) -> None:
        self._connection.end(code)


def _watch(connection: socket.socket | None) -> None:
    """Let the kernel find peers that vanished: nothing of ours is sent to ask."""
    if connection is None:
        return
    options = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    for name, value in (*_KEEPALIVE, ("TCP_USER_TIMEOUT", limits.STREAM_IDLE_S * 1000)):
        if hasattr(socket, name):
            options.append((socket.IPPROTO_TCP, getattr(socket, name), value))
    for option in options:
        with contextlib.suppress(OSError):
            connection.setsockopt(*option)


def _uncounted(size: int) -> None:
    """Before there is a partner nothing is copied."""
