"""
What every WebRTC path has in common, whichever library carries it: one channel, one negotiation.

The channel is agreed beforehand (number 0, ordered, reliable, binary), so nothing is
negotiated inside the connection and every other channel is a breach. Knows no library.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from commander.errors import CommanderError, Conflict, TimedOut, Unreachable
from commander.tasks import spawn
from commander.tunnel.path import DATA_CHANNEL_MESSAGE_BYTES, Binding, PathEvents
from commander.tunnel.transports import sdp
from commander.tunnel.transports.ice import WebRtcOptions

CHANNEL_LABEL: Final = "commander"
CHANNEL_PROTOCOL: Final = "commander.tunnel.1"
CHANNEL_ID: Final = 0
LOW_MARK_BYTES: Final = 128 * 1024
MAX_BACKLOG_BYTES: Final = 64 * 1024 * 1024
"""Past this the path is given up: its owner does not look at `backlog_bytes`."""
MAX_EARLY_MESSAGES: Final = 64
"""Messages kept before `start`; 1 MiB at most."""
GATHER_TIMEOUT_S: Final = 6.0
FLUSH_TIMEOUT_S: Final = 1.5
CLOSE_TIMEOUT_S: Final = 3.0

_log = logging.getLogger(__name__)


@contextmanager
def library_errors(step: str) -> Iterator[None]:
    """Turn whatever a library raises into one error of ours."""
    try:
        yield
    except CommanderError:
        raise
    except TimeoutError as error:
        raise TimedOut(f"webrtc: {step} took too long") from error
    except Exception as error:
        raise Unreachable(f"webrtc: {step} failed ({type(error).__name__})") from error


class ChannelPath(ABC):
    """
    A data channel that fits `tunnel.path.Path`; a subclass is one library.

    Usable once a `Negotiation` has returned it. The subclass calls `_opened`, `_received`,
    `_has_room` and `_lose` for what its library tells.
    """

    max_message_bytes: int = DATA_CHANNEL_MESSAGE_BYTES
    refused: str = ""
    """Why there is no relay, in our words."""

    def __init__(self, options: WebRtcOptions) -> None:
        loop = asyncio.get_running_loop()
        self.kind = options.kind
        self.binding = Binding()
        self.opened: asyncio.Future[None] = loop.create_future()
        self._loop = loop
        self._events: PathEvents | None = None
        self._early: deque[bytes] = deque()
        self._is_flowing = False
        self._lost_reason: str | None = None
        self._is_gone = False
        self._is_told = False
        self._shutdown: asyncio.Task[None] | None = None

    # --- What a library does ----------------------------------------------------------------

    @property
    @abstractmethod
    def route(self) -> str:
        """How the two ends reach each other: kinds of the chosen candidates, "" before that."""

    @abstractmethod
    async def describe(self, rules: sdp.CandidateRules) -> sdp.SessionDescription:
        """Gather candidates and say what the peer needs to know."""

    @abstractmethod
    async def take(self, remote: sdp.SessionDescription) -> None:
        """Hand the peer's checked fields to the library, as text that we wrote."""

    @abstractmethod
    def _send(self, message: bytes) -> None: ...

    @abstractmethod
    def _buffered(self) -> int: ...

    @abstractmethod
    async def _end(self) -> None:
        """Send what was handed in, then end channel and sockets; bounded in time."""

    # --- The port -------------------------------------------------------------------------

    def send(self, message: bytes) -> None:
        """Queue one message in the channel."""
        assert len(message) <= self.max_message_bytes, "message over max_message_bytes"
        if self._lost_reason is not None:
            return
        if self._buffered() > MAX_BACKLOG_BYTES:
            self._lose("backlog over its limit")
            return
        try:
            with library_errors("send"):
                self._send(message)
        except CommanderError as error:
            self._lose(error.message)

    def backlog_bytes(self) -> int:
        """Bytes that the channel has not yet cut into packets; 0 on a dead path."""
        return 0 if self._lost_reason is not None else self._buffered()

    def start(self, events: PathEvents) -> None:
        """Let callbacks flow, the messages that came before first."""
        assert self._events is None, "a path is started once"
        self._events = events
        self._loop.call_soon(self._flow)

    async def close(self, reason: str = "") -> None:
        """Send what was handed in, then close channel and sockets; idempotent, bounded in time."""
        self._lose(reason or "closed")
        assert self._shutdown is not None
        await asyncio.shield(self._shutdown)

    async def wait_until_open(self, timeout_s: float) -> None:
        """Wait for the channel; raises TimedOut, or Unreachable when the path died."""
        done, _ = await asyncio.wait([self.opened], timeout=timeout_s)
        if not done:
            why = f"; {self.refused}" if self.refused else ""
            raise TimedOut(
                f"no webrtc path within {timeout_s:g} s{why}",
                hint="UDP may be blocked: --path relay",
            )
        if self.opened.cancelled():
            raise Unreachable(f"no webrtc path: {self._lost_reason}")

    # --- From the library -------------------------------------------------------------------

    def _open(self) -> None:
        if not self.opened.done():
            self.opened.set_result(None)

    def _received(self, message: bytes | str) -> None:
        if self._lost_reason is not None:
            return
        if isinstance(message, str) or len(message) > self.max_message_bytes:
            self._lose("peer broke the channel's rules")
        elif self._is_flowing:
            self._deliver(message)
        elif len(self._early) >= MAX_EARLY_MESSAGES:
            self._lose("peer sent too much before the path was started")
        else:
            self._early.append(message)

    def _has_room(self) -> None:
        if self._is_flowing and self._lost_reason is None and self._events is not None:
            self._events.path_ready()

    def _lose(self, reason: str, *, gone: bool = False) -> None:
        """End the path once, whoever is first to notice."""
        if self._lost_reason is not None:
            return
        self._lost_reason, self._is_gone = reason, gone
        if not self.opened.done():
            self.opened.cancel()
        self._shutdown = spawn(self._shut_down(), name="webrtc-close")
        if self._is_flowing:
            self._loop.call_soon(self._tell_lost)

    # --- Inside -----------------------------------------------------------------------------

    def _flow(self) -> None:
        while self._early and self._lost_reason is None:
            self._deliver(self._early.popleft())
        self._is_flowing = True
        if self._lost_reason is not None:
            self._tell_lost()

    def _deliver(self, message: bytes) -> None:
        assert self._events is not None
        try:
            self._events.message_received(message)
        except Exception:  # noqa: BLE001  a callback's top, logged
            # Above us is the library, which would take our own mistake for the peer's.
            _log.exception("webrtc path ends: its owner failed on a message")
            self._lose("internal error")

    def _tell_lost(self) -> None:
        if self._events is not None and not self._is_told:
            self._is_told = True
            self._events.path_lost(self._lost_reason or "", gone=self._is_gone)

    async def _shut_down(self) -> None:
        try:
            await self._end()
        finally:
            self._early.clear()


class Negotiation:
    """
    One end of an exchange of descriptions; leads to one path or to nothing.

    Send `wire` to the peer, sealed. Call `complete` (after `offer`) or `connected` (after
    `accept`), once; or `close`.
    """

    def __init__(
        self, path: ChannelPath, local: sdp.SessionDescription, options: WebRtcOptions
    ) -> None:
        self.local = local
        self.wire = local.to_wire()
        self._path = path
        self._options = options
        self._is_spent = False

    async def complete(self, answer: bytes) -> ChannelPath:
        """
        Take the gateway's answer and wait for the channel.

        Whatever goes wrong closes the attempt. Raises Conflict on a second call, on an
        answer that is an offer or our own; InvalidInput, TimedOut, Unreachable.
        """
        try:
            self._spend("offer")
            remote = sdp.from_wire(answer, self._options.rules)
            if remote.kind != "answer" or remote.fingerprint == self.local.fingerprint:
                raise Conflict("webrtc: expected an answer to this offer")
            await self._path.take(remote)
            self._path.binding = sdp.binding(self.local, remote)
            await self._path.wait_until_open(self._options.connect_timeout_s)
        except BaseException:
            await self.close()
            raise
        return self._path

    async def connected(self) -> ChannelPath:
        """Wait for the channel after the answer has been sent; raises as `complete` does."""
        try:
            self._spend("answer")
            await self._path.wait_until_open(self._options.connect_timeout_s)
        except BaseException:
            await self.close()
            raise
        return self._path

    async def close(self) -> None:
        """Give the attempt up, or close the path it led to; idempotent."""
        await self._path.close("negotiation ended")

    def _spend(self, kind: str) -> None:
        if self._is_spent or self.local.kind != kind:
            raise Conflict("webrtc: this negotiation cannot be used again or this way")
        self._is_spent = True


MakePath = Callable[[], ChannelPath]


async def begin_offer(make: MakePath, options: WebRtcOptions) -> Negotiation:
    """Begin a path as the client; raises what `ChannelPath.describe` and the library raise."""
    return await _described(make(), options)


async def begin_answer(make: MakePath, offer_wire: bytes, options: WebRtcOptions) -> Negotiation:
    """
    Answer a client's offer as the gateway.

    Raises InvalidInput on a malformed offer, Conflict on an answer in its place, and what
    `begin_offer` raises.
    """
    remote = sdp.from_wire(offer_wire, options.rules)
    if remote.kind != "offer":
        raise Conflict("webrtc: expected an offer")
    path = make()
    try:
        await path.take(remote)
    except BaseException:
        await path.close()
        raise
    negotiation = await _described(path, options)
    path.binding = sdp.binding(remote, negotiation.local)
    return negotiation


async def _described(path: ChannelPath, options: WebRtcOptions) -> Negotiation:
    try:
        return Negotiation(path, await path.describe(options.rules), options)
    except BaseException:
        await path.close()
        raise
