"""
The WebRTC path by aiortc: one data channel between a client and a gateway, found by ICE.

    client                              gateway
    pending = await offer(options)
        pending.wire        --sealed-->  pending = await accept(wire, options)
    path = await pending.complete(wire) <--sealed--  pending.wire
                                         path = await pending.connected()

This module, `webrtc_agent` and `webrtc_guards` are the only ones that touch aiortc, which
takes half a second to import.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

from aiortc import (
    RTCConfiguration,
    RTCDataChannel,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.rtcconfiguration import RTCIceTransportPolicy
from OpenSSL import SSL

from commander.errors import CommanderError, InvalidInput, Unreachable
from commander.tunnel.transports import channel, sdp, webrtc_agent, webrtc_drops, webrtc_guards
from commander.tunnel.transports.channel import ChannelPath, Negotiation, library_errors
from commander.tunnel.transports.ice import DEFAULT_OPTIONS, WebRtcOptions

_log = logging.getLogger(__name__)


def _configuration(options: WebRtcOptions) -> RTCConfiguration:
    """
    The library's configuration.

    Servers are asked by our own agent. The library's list of them is never None: for that it
    asks a public STUN server.
    """
    policy = RTCIceTransportPolicy.RELAY if options.relay_only else RTCIceTransportPolicy.ALL
    return RTCConfiguration(iceServers=[], iceTransportPolicy=policy)


class WebRtcPath(ChannelPath):
    """A data channel of aiortc; made by `offer` or `accept`."""

    def __init__(self, options: WebRtcOptions) -> None:
        super().__init__(options)
        self._connection = RTCPeerConnection(_configuration(options))
        self._channel = self._open_channel(options)

    def _open_channel(self, options: WebRtcOptions) -> RTCDataChannel:
        made = self._connection.createDataChannel(
            channel.CHANNEL_LABEL,
            protocol=channel.CHANNEL_PROTOCOL,
            ordered=True,
            negotiated=True,
            id=channel.CHANNEL_ID,
        )
        association = made.transport
        agent = association.transport.transport.iceGatherer._connection
        assert isinstance(association, webrtc_guards.GuardedSctp), "install_guards comes first"
        assert isinstance(agent, webrtc_agent.GuardedConnection), "install_guards comes first"
        agent.choose_addresses, agent.options = options.choose_addresses, options
        self._association, self._agent = association, agent
        made.bufferedAmountLowThreshold = channel.LOW_MARK_BYTES
        made.on("open", self._open)
        made.on("message", self._received)
        made.on("bufferedamountlow", self._has_room)
        made.on("close", self._on_channel_closed)
        self._connection.on("connectionstatechange", self._on_state)
        return made

    @property
    def route(self) -> str:
        """How the two ends reach each other: kinds of the chosen candidates, "" before that."""
        for pair in self._agent._nominated.values():
            return f"{pair.local_candidate.type}-{pair.remote_candidate.type}"
        return ""

    def _send(self, message: bytes) -> None:
        self._channel.send(message)

    def _buffered(self) -> int:
        buffered: int = self._channel.bufferedAmount
        return buffered

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

    async def _end(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(channel.FLUSH_TIMEOUT_S):
                await self._association.drained()
        try:
            with library_errors("closing"):
                async with asyncio.timeout(channel.CLOSE_TIMEOUT_S):
                    await self._connection.close()
        except CommanderError as error:
            _log.debug("%s; closing its sockets", error.message)
        finally:
            for protocol in list(self._agent._protocols):
                protocol.transport.close()

    # --- Setting up ---------------------------------------------------------------------------

    async def describe(self, rules: sdp.CandidateRules) -> sdp.SessionDescription:
        """Gather candidates and say what the peer needs to know."""
        with library_errors("looking for candidates"):
            async with asyncio.timeout(channel.GATHER_TIMEOUT_S):
                await self._connection.setLocalDescription()
            text = self._connection.localDescription.sdp
        self.refused = self._agent.refused
        # The library fits all of this machine's candidates in; ours are cut to the template.
        try:
            return sdp.parse(text, rules)
        except InvalidInput as error:
            if not self.refused:
                raise
            raise Unreachable(
                f"no webrtc path: {self.refused}", hint="look at the relay's log"
            ) from error

    async def take(self, remote: sdp.SessionDescription) -> None:
        """Hand the peer's checked fields to the library, as text that we wrote."""
        with library_errors("reading the description"):
            await self._connection.setRemoteDescription(
                RTCSessionDescription(sdp=remote.render(), type=remote.kind)
            )


async def offer(options: WebRtcOptions = DEFAULT_OPTIONS) -> Negotiation:
    """
    Begin a path as the client.

    Raises Unreachable or InvalidInput when no address may be offered, CommanderError when
    the libraries are not ones we guard.
    """
    return await channel.begin_offer(lambda: _new_path(options), options)


async def accept(offer_wire: bytes, options: WebRtcOptions = DEFAULT_OPTIONS) -> Negotiation:
    """Answer a client's offer as the gateway; raises as `channel.begin_answer` does."""
    return await channel.begin_answer(lambda: _new_path(options), offer_wire, options)


def _new_path(options: WebRtcOptions) -> WebRtcPath:
    webrtc_guards.install_guards()
    webrtc_drops.guard_loop(asyncio.get_running_loop())
    with library_errors("starting"):
        return WebRtcPath(options)
