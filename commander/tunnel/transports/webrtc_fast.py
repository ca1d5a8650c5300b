"""
The WebRTC path by wrtc (libwebrtc): five times as fast as aiortc, and not in Python.

Optional (`pip install commander-pam[fast-webrtc]`, `COMMANDER_WEBRTC=wrtc`): a peer's packets
are then parsed by native code in our process. What Python can hold a peer to is held to here;
what differs from aiortc stands in this folder's README.md.

The library's package is called `webrtc`; it is imported by this module alone.
"""

from __future__ import annotations

import asyncio
import hmac
from contextlib import suppress
from typing import Final

import msgspec
import webrtc as library
from webrtc.utils.loops import LoopState

from commander.crypto.kdf import sha256
from commander.errors import InvalidInput, Unreachable
from commander.tunnel.transports import channel, sdp
from commander.tunnel.transports.channel import ChannelPath, Negotiation, library_errors
from commander.tunnel.transports.ice import DEFAULT_OPTIONS, IceServer, WebRtcOptions

MAX_WAITING: Final = 1024
"""Messages that came and were not handled yet; the library has no bound of its own."""
RELAY_WAIT_S: Final = 5.0
STUN_WAIT_S: Final = 2.0
GRACE_S: Final = 0.3
NO_RELAY: Final = "no TURN server gave a relay"


def _configuration(options: WebRtcOptions) -> library.RTCConfiguration:
    policies = library.RTCIceTransportPolicy
    policy = policies.relay if options.relay_only else policies.all
    servers = [_server(item) for item in options.ice_servers if item.url.transport != "tls"]
    return library.RTCConfiguration(ice_servers=servers, ice_transport_policy=policy)


def _server(server: IceServer) -> library.RTCIceServer:
    if server.password is None:
        return library.RTCIceServer(f"stun:{_place(server)}")
    return library.RTCIceServer(
        f"turn:{_place(server)}?transport={server.url.transport}",
        server.username,
        server.password.reveal_text(),
    )


def _place(server: IceServer) -> str:
    host = f"[{server.url.host}]" if ":" in server.url.host else server.url.host
    return f"{host}:{server.url.port}"


class FastPath(ChannelPath):
    """A data channel of libwebrtc; made by `offer` or `accept`."""

    def __init__(self, options: WebRtcOptions) -> None:
        super().__init__(options)
        self._options = options
        self._remote: sdp.SessionDescription | None = None
        self._closed = asyncio.Event()
        self._gathered = asyncio.Event()
        self._connection = library.RTCPeerConnection(_configuration(options))
        self._channel = self._connection.create_data_channel(
            channel.CHANNEL_LABEL,
            library.RTCDataChannelInit(
                ordered=True,
                protocol=channel.CHANNEL_PROTOCOL,
                negotiated=True,
                id=channel.CHANNEL_ID,
            ),
        )
        self._listen()

    def _listen(self) -> None:
        made = self._channel
        made.binary_type = "arraybuffer"
        made.buffered_amount_low_threshold = channel.LOW_MARK_BYTES
        made.on("open", lambda event: self._on_open())
        made.on("message", self._on_message)
        made.on("bufferedamountlow", lambda event: self._has_room())
        made.on("close", lambda event: self._on_closed())
        connection = self._connection
        connection.on("datachannel", lambda event: self._lose("data on a second channel"))
        connection.on("connectionstatechange", lambda event: self._on_state())
        connection.on("icecandidate", lambda event: self._gathered.set())
        connection.on("icegatheringstatechange", lambda event: self._gathered.set())

    @property
    def route(self) -> str:
        """How the two ends reach each other: kinds of the chosen candidates, "" before that."""
        sctp = self._connection.sctp
        pair = None if sctp is None else sctp.transport.ice_transport.get_selected_candidate_pair()
        if pair is None:
            return ""
        return "-".join(
            str(getattr(item.type, "value", "prflx")) for item in (pair.local, pair.remote)
        )

    def _send(self, message: bytes) -> None:
        self._channel.send(message)

    def _buffered(self) -> int:
        return self._channel.buffered_amount

    # --- From the library -------------------------------------------------------------------

    def _on_open(self) -> None:
        # The library has compared it too; the channel's security rests on this comparison.
        sctp = self._connection.sctp
        found = sctp.transport.get_remote_certificates() if sctp is not None else []
        told = self._remote.fingerprint if self._remote is not None else b""
        if not found or not hmac.compare_digest(sha256(found[0]), told):
            self._lose("the far end's certificate is not the one that was told")
            return
        self._open()

    def _on_message(self, event: library.MessageEvent) -> None:
        state = LoopState.find(self._channel._native_obj._mailbox)
        if state is not None and len(state.mailbox) > MAX_WAITING:
            self._lose("peer sends more than is taken")
            return
        data = event.data
        assert isinstance(data, str | bytes)
        self._received(data)

    def _on_closed(self) -> None:
        self._closed.set()
        is_up = str(self._connection.connection_state.value) == "connected"
        self._lose("channel closed by the peer" if is_up else "channel closed", gone=is_up)

    def _on_state(self) -> None:
        state = str(self._connection.connection_state.value)
        if state in ("failed", "closed"):
            self._lose(f"connection {state}")

    async def _end(self) -> None:
        # Closing the channel sends what is queued; closing the connection would drop it.
        with suppress(TimeoutError):
            async with asyncio.timeout(channel.FLUSH_TIMEOUT_S):
                if str(self._channel.ready_state.value) in ("open", "closing"):
                    self._channel.close()
                    await self._closed.wait()
        self._connection.close()

    # --- Setting up ---------------------------------------------------------------------------

    async def describe(self, rules: sdp.CandidateRules) -> sdp.SessionDescription:
        """Gather candidates and say what the peer needs to know."""
        with library_errors("looking for candidates"):
            async with asyncio.timeout(channel.GATHER_TIMEOUT_S):
                await self._connection.set_local_description()
                text = await self._gather()
        if "\r\na=max-message-size:" not in text:
            # Left out where it is the default of RFC 8841 section 6.1.
            text += "a=max-message-size:65536\r\n"
        try:
            found = sdp.parse(text, rules)
        except InvalidInput as error:
            if not self.refused:
                raise
            raise Unreachable(
                f"no webrtc path: {self.refused}", hint="look at the relay's log"
            ) from error
        return self._chosen(found)

    async def _gather(self) -> str:
        """The local description once it has what there is, or has waited long enough."""
        has_turn = any(server.url.is_turn for server in self._options.ice_servers)
        loop = asyncio.get_running_loop()
        end = loop.time() + (RELAY_WAIT_S if has_turn else STUN_WAIT_S)
        while (left := end - loop.time()) > 0:
            if str(self._connection.ice_gathering_state.value) == "complete":
                break
            if has_turn and " typ relay " in self._text():
                end = min(end, loop.time() + GRACE_S)
                has_turn = False
            self._gathered.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._gathered.wait()
        text = self._text()
        if has_turn and " typ relay " not in text:
            self.refused = NO_RELAY
        return text

    def _text(self) -> str:
        local = self._connection.local_description
        return "" if local is None else local.sdp

    def _chosen(self, found: sdp.SessionDescription) -> sdp.SessionDescription:
        """Without the addresses that the owner did not choose; sockets on them answer nobody."""
        hosts = [item.host for item in found.candidates if item.kind == "host"]
        chosen = set(self._options.choose_addresses(hosts))
        left = tuple(
            item for item in found.candidates if item.kind != "host" or item.host in chosen
        )
        if not left:
            raise Unreachable("no webrtc path: no address may be offered")
        return msgspec.structs.replace(found, candidates=left)

    async def take(self, remote: sdp.SessionDescription) -> None:
        """Hand the peer's checked fields to the library, as text that we wrote."""
        self._remote = remote
        with library_errors("reading the description"):
            await self._connection.set_remote_description(
                library.RTCSessionDescriptionInit(remote.kind, remote.render())
            )


async def offer(options: WebRtcOptions = DEFAULT_OPTIONS) -> Negotiation:
    """Begin a path as the client; raises as `channel.begin_offer` does."""
    return await channel.begin_offer(lambda: _new_path(options), options)


async def accept(offer_wire: bytes, options: WebRtcOptions = DEFAULT_OPTIONS) -> Negotiation:
    """Answer a client's offer as the gateway; raises as `channel.begin_answer` does."""
    return await channel.begin_answer(lambda: _new_path(options), offer_wire, options)


def _new_path(options: WebRtcOptions) -> FastPath:
    with library_errors("starting"):
        return FastPath(options)
