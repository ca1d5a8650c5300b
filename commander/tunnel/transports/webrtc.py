"""
The WebRTC path: one data channel between a client and a gateway, found by ICE.

    client                              gateway
    pending = await offer(options)
        pending.wire        --sealed-->  pending = await accept(wire, options)
    path = await pending.complete(wire) <--sealed--  pending.wire
                                         path = await pending.connected()

The channel is agreed beforehand (number 0, ordered, reliable, binary), so nothing is
negotiated inside the connection and every other channel is a breach. This module and
`webrtc_guards` are the only ones that touch aiortc, which takes half a second to import.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from aiortc import (
    RTCConfiguration,
    RTCDataChannel,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.rtcconfiguration import RTCIceTransportPolicy
from OpenSSL import SSL

from commander.errors import CommanderError, Conflict, InvalidInput, TimedOut, Unreachable
from commander.tasks import spawn
from commander.tunnel.path import (
    DATA_CHANNEL_MESSAGE_BYTES,
    Binding,
    PathEvents,
)
from commander.tunnel.transports import sdp, webrtc_agent, webrtc_drops, webrtc_guards
from commander.tunnel.transports.ice import DEFAULT_OPTIONS, WebRtcOptions

CHANNEL_LABEL: Final = "commander"
CHANNEL_PROTOCOL: Final = "commander.tunnel.1"
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
def _library_errors(step: str) -> Iterator[None]:
    """Turn whatever the library raises into one error of ours."""
    try:
        yield
    except CommanderError:
        raise
    except TimeoutError as error:
        raise TimedOut(f"webrtc: {step} took too long") from error
    except Exception as error:
        raise Unreachable(f"webrtc: {step} failed ({type(error).__name__})") from error


def _configuration(options: WebRtcOptions) -> RTCConfiguration:
    """
    The library's configuration.

    Servers are asked by our own agent. The library's list of them is never None: for that it
    asks a public STUN server.
    """
    policy = RTCIceTransportPolicy.RELAY if options.relay_only else RTCIceTransportPolicy.ALL
    return RTCConfiguration(iceServers=[], iceTransportPolicy=policy)


class WebRtcPath:
    """
    A data channel that fits `tunnel.path.Path`.

    Made by `offer` or `accept`; usable once `complete` or `connected` has returned it.
    """

    max_message_bytes: int = DATA_CHANNEL_MESSAGE_BYTES

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
        self._connection = RTCPeerConnection(_configuration(options))
        self._channel = self._open_channel(options)

    def _open_channel(self, options: WebRtcOptions) -> RTCDataChannel:
        channel = self._connection.createDataChannel(
            CHANNEL_LABEL,
            protocol=CHANNEL_PROTOCOL,
            ordered=True,
            negotiated=True,
            id=webrtc_guards.CHANNEL_ID,
        )
        association = channel.transport
        agent = association.transport.transport.iceGatherer._connection
        assert isinstance(association, webrtc_guards.GuardedSctp), "install_guards comes first"
        assert isinstance(agent, webrtc_agent.GuardedConnection), "install_guards comes first"
        agent.choose_addresses, agent.options = options.choose_addresses, options
        self._association, self._agent = association, agent
        channel.bufferedAmountLowThreshold = LOW_MARK_BYTES
        channel.on("open", self._on_open)
        channel.on("message", self._on_message)
        channel.on("bufferedamountlow", self._on_low)
        channel.on("close", self._on_channel_closed)
        self._connection.on("connectionstatechange", self._on_state)
        return channel

    # --- The port -------------------------------------------------------------------------

    def send(self, message: bytes) -> None:
        """Queue one message in the channel."""
        assert len(message) <= self.max_message_bytes, "message over max_message_bytes"
        if self._lost_reason is not None:
            return
        if self._channel.bufferedAmount > MAX_BACKLOG_BYTES:
            self._lose("backlog over its limit")
            return
        try:
            with _library_errors("send"):
                self._channel.send(message)
        except CommanderError as error:
            self._lose(error.message)

    def backlog_bytes(self) -> int:
        """Bytes that the channel has not yet cut into packets; 0 on a dead path."""
        return 0 if self._lost_reason is not None else self._channel.bufferedAmount

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

    @property
    def route(self) -> str:
        """How the two ends reach each other: kinds of the chosen candidates, "" before that."""
        for pair in self._agent._nominated.values():
            return f"{pair.local_candidate.type}-{pair.remote_candidate.type}"
        return ""

    # --- From the library -------------------------------------------------------------------

    def _on_open(self) -> None:
        if not self.opened.done():
            self.opened.set_result(None)

    def _on_message(self, message: bytes | str) -> None:
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

    def _on_low(self) -> None:
        if self._is_flowing and self._lost_reason is None and self._events is not None:
            self._events.path_ready()

    def _on_channel_closed(self) -> None:
        if self._association.violation:
            self._lose(self._association.violation)
        elif self._has_peer_ended():
            self._lose("channel closed by the peer", gone=True)
        else:
            self._lose("channel closed")

    def _on_state(self) -> None:
        state = self._connection.connectionState
        if state in ("failed", "closed"):
            self._lose(f"connection {state}", gone=self._has_peer_ended())

    def _has_peer_ended(self) -> bool:
        """Whether the far end's process said so itself, by SCTP or by DTLS."""
        ssl = self._association.transport._ssl
        is_notified = ssl is not None and bool(ssl.get_shutdown() & SSL.RECEIVED_SHUTDOWN)
        return self._association.was_ended_by_peer or is_notified

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

    def _tell_lost(self) -> None:
        if self._events is not None and not self._is_told:
            self._is_told = True
            self._events.path_lost(self._lost_reason or "", gone=self._is_gone)

    async def _shut_down(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_TIMEOUT_S):
                await self._association.drained()
        try:
            with _library_errors("closing"):
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await self._connection.close()
        except CommanderError as error:
            _log.debug("%s; closing its sockets", error.message)
        finally:
            for protocol in list(self._agent._protocols):
                protocol.transport.close()
            self._early.clear()

    # --- Setting up ---------------------------------------------------------------------------

    async def describe(self, rules: sdp.CandidateRules) -> sdp.SessionDescription:
        """Gather candidates and say what the peer needs to know."""
        with _library_errors("looking for candidates"):
            async with asyncio.timeout(GATHER_TIMEOUT_S):
                await self._connection.setLocalDescription()
            text = self._connection.localDescription.sdp
        # The library fits all of this machine's candidates in; ours are cut to the template.
        try:
            return sdp.parse(text, rules)
        except InvalidInput as error:
            if not self._agent.refused:
                raise
            raise Unreachable(
                f"no webrtc path: {self._agent.refused}", hint="look at the relay's log"
            ) from error

    async def take(self, remote: sdp.SessionDescription) -> None:
        """Hand the peer's checked fields to the library, as text that we wrote."""
        with _library_errors("reading the description"):
            await self._connection.setRemoteDescription(
                RTCSessionDescription(sdp=remote.render(), type=remote.kind)
            )

    async def wait_until_open(self, timeout_s: float) -> None:
        """Wait for the channel; raises TimedOut, or Unreachable when the path died."""
        done, _ = await asyncio.wait([self.opened], timeout=timeout_s)
        if not done:
            why = f"; {self._agent.refused}" if self._agent.refused else ""
            raise TimedOut(
                f"no webrtc path within {timeout_s:g} s{why}",
                hint="UDP may be blocked: --path relay",
            )
        if self.opened.cancelled():
            raise Unreachable(f"no webrtc path: {self._lost_reason}")


class Negotiation:
    """
    One end of an exchange of descriptions; leads to one path or to nothing.

    Send `wire` to the peer, sealed. Call `complete` (after `offer`) or `connected` (after
    `accept`), once; or `close`.
    """

    def __init__(
        self, path: WebRtcPath, local: sdp.SessionDescription, options: WebRtcOptions
    ) -> None:
        self.local = local
        self.wire = local.to_wire()
        self._path = path
        self._options = options
        self._is_spent = False

    async def complete(self, answer: bytes) -> WebRtcPath:
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

    async def connected(self) -> WebRtcPath:
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


async def offer(options: WebRtcOptions = DEFAULT_OPTIONS) -> Negotiation:
    """
    Begin a path as the client.

    Raises Unreachable or InvalidInput when no address may be offered, CommanderError when
    the libraries are not ones we guard.
    """
    path = _new_path(options)
    return await _described(path, options)


async def accept(offer_wire: bytes, options: WebRtcOptions = DEFAULT_OPTIONS) -> Negotiation:
    """
    Answer a client's offer as the gateway.

    Raises InvalidInput on a malformed offer, Conflict on an answer in its place, and what
    `offer` raises.
    """
    remote = sdp.from_wire(offer_wire, options.rules)
    if remote.kind != "offer":
        raise Conflict("webrtc: expected an offer")
    path = _new_path(options)
    try:
        await path.take(remote)
    except BaseException:
        await path.close()
        raise
    negotiation = await _described(path, options)
    path.binding = sdp.binding(remote, negotiation.local)
    return negotiation


def _new_path(options: WebRtcOptions) -> WebRtcPath:
    webrtc_guards.install_guards()
    webrtc_drops.guard_loop(asyncio.get_running_loop())
    with _library_errors("starting"):
        return WebRtcPath(options)


async def _described(path: WebRtcPath, options: WebRtcOptions) -> Negotiation:
    try:
        return Negotiation(path, await path.describe(options.rules), options)
    except BaseException:
        await path.close()
        raise
