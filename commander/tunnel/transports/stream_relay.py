"""The relay path on a TLS connection of its own: the relay copies bytes and ends with its reason."""

from __future__ import annotations

import asyncio
from typing import Final

from commander.tunnel.codes import ProtocolViolation
from commander.tunnel.path import KIND_RELAY, STREAM_MESSAGE_BYTES, PathEvents
from commander.tunnel.transports.carrier_socket import tune
from commander.tunnel.transports.framing import FrameReader, frame_header
from commander.tunnel.transports.receive_buffer import receive_buffer
from commander.wire.relay import PEER_GONE, farewell_text

_HIGH_MARK: Final = 512 * 1024
_LOW_MARK: Final = 256 * 1024
_CLOSE_S: Final = 2.0


class StreamRelayPath(asyncio.BufferedProtocol):
    """
    A relay path over a transport on which the relay has accepted us.

    Takes the transport over, paused or not; `early` is what was read from it already.
    """

    kind = KIND_RELAY
    max_message_bytes = STREAM_MESSAGE_BYTES

    def __init__(self, transport: asyncio.Transport, early: bytes = b"") -> None:
        self._transport = transport
        self._early = early
        self._reader = FrameReader(receive_buffer(), has_farewell=True)
        self._events: PathEvents | None = None
        self._is_blocked = False
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._closes_because = ""
        self._loss: tuple[str, bool] | None = None
        connection = transport.get_extra_info("socket")
        if connection is not None:
            tune(connection)
        transport.set_write_buffer_limits(high=_HIGH_MARK, low=_LOW_MARK)
        transport.set_protocol(self)

    def send(self, message: bytes) -> None:
        """Hand one message to TLS."""
        size = len(message)
        assert size <= self.max_message_bytes
        if not self._over.done() and not self._transport.is_closing():
            self._transport.write(frame_header(size) + message)

    def backlog_bytes(self) -> int:
        """Bytes that TLS holds back."""
        return 0 if self._over.done() else self._transport.get_write_buffer_size()

    def start(self, events: PathEvents) -> None:
        """Let what was read before, and everything after it, flow."""
        assert self._events is None
        self._events = events
        asyncio.get_running_loop().call_soon(self._begin)

    async def close(self, reason: str = "") -> None:
        """Send what is queued, as far as a moment allows, and close the connection."""
        if self._over.done():
            return
        self._closes_because = self._closes_because or reason or "closed"
        # A paused transport would not read the other end's goodbye.
        self._transport.resume_reading()
        self._transport.close()
        await asyncio.wait([self._over], timeout=_CLOSE_S)
        self._transport.abort()
        await asyncio.wait([self._over], timeout=_CLOSE_S)
        self._lose(reason or "closed")

    # --- asyncio ------------------------------------------------------------------------------

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go."""
        return self._reader.buffer()

    def buffer_updated(self, nbytes: int) -> None:
        """Hand up what is whole."""
        try:
            messages = self._reader.received(nbytes)
        except ProtocolViolation as violation:
            self._break(violation)
            return
        self._deliver(messages)
        self._heed_farewell()

    def pause_writing(self) -> None:
        """The backlog is above the high mark."""
        self._is_blocked = True

    def resume_writing(self) -> None:
        """The backlog fell below the low mark."""
        self._is_blocked = False
        if self._events is not None and not self._over.done():
            self._events.path_ready()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is over; the relay's last word, where it came, was heeded before."""
        self._lose(self._closes_because or "the connection to the relay broke")

    # --- inside -------------------------------------------------------------------------------

    def _begin(self) -> None:
        if self._over.done():
            self._tell_loss()
            return
        early, self._early = self._early, b""
        try:
            messages = self._reader.feed(early)
        except ProtocolViolation as violation:
            self._break(violation)
            return
        self._deliver(messages)
        self._heed_farewell()
        if not self._over.done():
            self._transport.resume_reading()

    def _deliver(self, messages: list[memoryview]) -> None:
        events = self._events
        if events is None:
            # Only a path that was closed before it began reads without an owner.
            return
        for message in messages:
            if self._over.done():
                return
            events.message_received(message)

    def _heed_farewell(self) -> None:
        # At once, not at the end of the connection: what we still write could break it before.
        code = self._reader.farewell()
        if code is not None:
            self._lose(farewell_text(code), gone=code == PEER_GONE)
            self._abort_soon()

    def _break(self, violation: ProtocolViolation) -> None:
        self._lose(violation.message)
        self._abort_soon()

    def _abort_soon(self) -> None:
        # TLS may be in the midst of a read or of its own close when it hands us bytes.
        asyncio.get_running_loop().call_soon(self._transport.abort)

    def _lose(self, reason: str, *, gone: bool = False) -> None:
        if self._over.done():
            return
        self._over.set_result(None)
        self._loss = reason, gone
        if self._events is not None:
            self._tell_loss()

    def _tell_loss(self) -> None:
        assert self._events is not None
        loss, self._loss = self._loss, None
        if loss is not None:
            self._events.path_lost(loss[0], gone=loss[1])
