"""
The ICE agent: guards between the network and aioice, and how STUN and TURN servers are asked.

aioice knows one STUN and one TURN server, waits five seconds for whichever does not answer,
and makes a task for each relayed packet. Here the servers are asked side by side, relays one
after the other in the order given: UDP first, since TCP under SCTP repairs every loss twice.
What a network lets through is known after a second.

Installed by `webrtc_guards.install_guards`; this folder's README.md has limits and threats.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
import struct
from contextlib import suppress
from typing import Any, Final

import aioice
import aioice.ice
import aioice.stun
import aioice.turn
from aioice.candidate import candidate_foundation, candidate_priority

from commander.clock import SystemClock
from commander.tasks import cancel_and_wait, spawn
from commander.tunnel.transports.ice import AddressChoice, IceServer, WebRtcOptions, no_loopback
from commander.tunnel.transports.webrtc_drops import dropped

# RFC 7983 section 7: the first byte tells what a datagram is.
AFTER_STUN_BYTE: Final = 4
FIRST_DTLS_BYTE: Final = 20
AFTER_DTLS_BYTE: Final = 64
MAX_DATAGRAM_BYTES: Final = 2048
MAX_WAITING_DATAGRAMS: Final = 4096
DATAGRAMS_PER_TURN: Final = 16
MAX_REMOTE_CANDIDATES: Final = 64
"""Signalled ones (32) and addresses learned from authenticated checks together."""
MAX_LOCAL_ADDRESSES: Final = 16

RELAY_STAGGER_S: Final = 0.4
"""How long one TURN server may take before the next one is asked as well."""
RELAY_WAIT_S: Final = 5.0
RETRIES_S: Final = (0.2, 0.6)
STUN_WAIT_S: Final = 2.0
GRACE_S: Final = 0.2
"""How long answers of STUN are waited for once there is a relay."""
RELAY_HOLD_S: Final = 1.0
"""How long a way through a relay is not tried while there may be one without."""
CHANNEL_REFRESH_S: Final = 240
"""A TURN permission lasts 300 s, and binding a channel anew renews it (RFC 8656 section 12)."""
GIVE_BACK_S: Final = 1.0
MAX_UNBOUND_PACKETS: Final = 64
"""Packets that wait until the relay lets a peer in."""
MAX_STREAM_BACKLOG_BYTES: Final = 256 * 1024
"""Relayed over TCP: past this, packets are dropped as a full queue of a router would."""

Found = tuple[aioice.Candidate, "GuardedStun"]

_log = logging.getLogger(__name__)
_clock = SystemClock()


class GuardedStun(aioice.ice.StunProtocol):
    """
    Sorts datagrams before the library sees them.

    DTLS is taken only from an address that is a remote candidate or that passed an
    authenticated check, so a third party cannot disturb a handshake or fill the queue.
    """

    def __init__(self, receiver: aioice.ice.Connection) -> None:
        super().__init__(receiver)
        self._known_source: tuple[str, int] | None = None

    def datagram_received(self, data: bytes | str, addr: tuple[Any, ...]) -> None:
        """Pass on or count."""
        assert isinstance(data, bytes)
        refusal = self._refusal(data, (addr[0], addr[1]))
        if refusal:
            dropped.count(refusal)
        elif data[0] >= FIRST_DTLS_BYTE:
            # The library would first try to read it as STUN, packet by packet.
            self.receiver.data_received(data, self.local_candidate.component)
        else:
            self._receive_stun(data, addr)

    def _receive_stun(self, data: bytes, addr: tuple[Any, ...]) -> None:
        try:
            super().datagram_received(data, addr)
        except Exception:  # noqa: BLE001  the border to the library: nothing may reach the loop
            dropped.count("stun-broken")

    def _refusal(self, data: bytes, source: tuple[str, int]) -> str:
        if not 1 <= len(data) <= MAX_DATAGRAM_BYTES:
            return "datagram-size"
        if data[0] < AFTER_STUN_BYTE:
            return self._stun_refusal(data, source)
        if not FIRST_DTLS_BYTE <= data[0] < AFTER_DTLS_BYTE:
            return "datagram-kind"
        if source != self._known_source and not self._is_known(source):
            return "dtls-foreign"
        self._known_source = source
        if self.receiver._queue.qsize() >= MAX_WAITING_DATAGRAMS:
            return "dtls-queue-full"
        return ""

    def _stun_refusal(self, data: bytes, source: tuple[str, int]) -> str:
        try:
            message = aioice.stun.parse_message(data)
        except ValueError:
            return "stun-malformed"
        if message.message_class in (aioice.stun.Class.RESPONSE, aioice.stun.Class.ERROR):
            if message.transaction_id in self.transactions:
                return ""
            # An answer to a check that was sent twice comes twice.
            return "stun-late" if self._is_known(source) else "stun-unasked"
        is_check = (
            message.message_class == aioice.stun.Class.REQUEST
            and message.message_method == aioice.stun.Method.BINDING
            and "MESSAGE-INTEGRITY" in message.attributes
            and "PRIORITY" in message.attributes
            and self.receiver._valid_username(message.attributes.get("USERNAME", ""))
        )
        # The library answers each stranger's request with an error: it would be a reflector.
        if not is_check:
            return "stun-unasked"
        is_full = len(self.receiver._remote_candidates) >= MAX_REMOTE_CANDIDATES
        return "stun-too-many-sources" if is_full and not self._is_known(source) else ""

    def _is_known(self, source: tuple[str, int]) -> bool:
        return any(
            candidate._network_host == source[0] and candidate.port == source[1]
            for candidate in self.receiver._remote_candidates
        )


class GuardedConnection(aioice.ice.Connection):
    """An ICE agent that offers the addresses its owner chose, and asks the servers its owner named."""

    choose_addresses: AddressChoice = staticmethod(no_loopback)
    options: WebRtcOptions | None = None
    refused: str = ""
    _served = 0

    async def get_component_candidates(
        self, component: int, addresses: list[str], timeout: int = 5
    ) -> list[aioice.Candidate]:
        """Gather on the chosen addresses, then what the servers say of them and the relays."""
        chosen = list(self.choose_addresses(addresses))[:MAX_LOCAL_ADDRESSES]
        found = await super().get_component_candidates(component, chosen, timeout)
        return [*found, *await self._ask_servers(component)]

    async def recv(self) -> bytes:
        """Take the next datagram; every 16th time everyone else in the loop has a turn first."""
        self._served += 1
        # A queue that is never empty is read without a pause, so a flood would stop the loop.
        if self._served % DATAGRAMS_PER_TURN == 0:
            await asyncio.sleep(0)
        return await super().recv()

    async def check_start(self, pair: aioice.ice.CandidatePair) -> None:
        """
        Check a pair; ways through a relay a second later than the others.

        The library takes the first pair that answers, and a relay often answers before two
        NATs have let each other in.
        """
        if self.ice_controlling and _is_relayed(pair):
            is_pair_without = any(not _is_relayed(other) for other in self._check_list)
            self.check_state(pair, aioice.ice.CandidatePair.State.IN_PROGRESS)
            await asyncio.sleep(RELAY_HOLD_S if is_pair_without else 0)
        await super().check_start(pair)

    # --- Servers --------------------------------------------------------------------------

    async def _ask_servers(self, component: int) -> list[aioice.Candidate]:
        servers = self.options.ice_servers if self.options is not None else ()
        hosts = list(self._protocols)
        reflexive = [
            spawn(_reflexive(protocol, server), name="webrtc-stun")
            for server in servers
            if not server.url.is_turn
            for protocol in hosts
            if ipaddress.ip_address(protocol.local_candidate.host).version == 4
        ]
        relays = [server for server in servers if server.url.is_turn]
        relay = spawn(self._find_relay(component, relays), name="webrtc-turn") if relays else None
        try:
            return await _collect(reflexive, relay)
        finally:
            await cancel_and_wait(*reflexive, *([relay] if relay is not None else []))

    async def _find_relay(
        self, component: int, servers: list[IceServer]
    ) -> aioice.Candidate | None:
        """The first relay that comes up; the ones after it begin while it is waited for."""
        attempts: set[asyncio.Task[Found | None]] = set()
        waiting = list(enumerate(servers))
        try:
            async with asyncio.timeout(RELAY_WAIT_S):
                while waiting or attempts:
                    if waiting:
                        rank, server = waiting.pop(0)
                        work = self._try_relay(component, server, rank)
                        attempts.add(spawn(work, name="webrtc-turn"))
                    found = await self._first_relay(attempts, is_last=not waiting)
                    if found is not None:
                        return found
        except TimeoutError:
            self.refused = self.refused or "no TURN server answers"
        finally:
            await _abandon(attempts)
        return None

    async def _first_relay(
        self, attempts: set[asyncio.Task[Found | None]], *, is_last: bool
    ) -> aioice.Candidate | None:
        timeout = None if is_last else RELAY_STAGGER_S
        done, _ = await asyncio.wait(attempts, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        candidate = None
        for attempt in done:
            attempts.discard(attempt)
            result = attempt.result()
            if result is None:
                continue
            found, protocol = result
            if candidate is None:
                candidate = found
                self._protocols.append(protocol)
            else:
                protocol.transport.close()
        return candidate

    async def _try_relay(self, component: int, server: IceServer, rank: int) -> Found | None:
        try:
            for wait_s in RETRIES_S:
                try:
                    return await self._relay(component, server, rank)
                except aioice.stun.TransactionFailed as error:
                    if _code(error) != UNAUTHORIZED:
                        raise
                # coturn refuses good credentials while it opens its database, at its first use.
                await asyncio.sleep(wait_s)
            return await self._relay(component, server, rank)
        except Exception as error:  # noqa: BLE001  the border to the library and to a stranger's server
            self.refused = _why(error)
            _log.debug("%s gives no relay: %s", server.url, self.refused)
            return None

    async def _relay(self, component: int, server: IceServer, rank: int) -> Found:
        url = server.url
        # The context: a tunnel's end chose whom it trusts; True means the machine's authorities.
        tls = self.options.tls if self.options is not None else None
        _, protocol = await aioice.turn.create_turn_endpoint(
            lambda: GuardedStun(self),
            server_addr=(url.host, url.port),
            username=server.username,
            password=server.password.reveal_text() if server.password is not None else None,
            channel_refresh_time=CHANNEL_REFRESH_S,
            ssl=(tls or True) if url.transport == "tls" else None,
            transport="udp" if url.transport == "udp" else "tcp",
        )
        host, port = protocol.transport.get_extra_info("sockname")
        protocol.local_candidate = aioice.Candidate(
            foundation=candidate_foundation("relay", "udp", host),
            component=component,
            transport="udp",
            priority=candidate_priority(component, "relay", local_pref=65535 - rank),
            host=host,
            port=port,
            type="relay",
        )
        return protocol.local_candidate, protocol


def _is_relayed(pair: aioice.ice.CandidatePair) -> bool:
    return "relay" in (pair.local_candidate.type, pair.remote_candidate.type)


async def _abandon(attempts: set[asyncio.Task[Found | None]]) -> None:
    """Give up attempts, and relays that came up although nobody waits for them any more."""
    await cancel_and_wait(*attempts)
    for attempt in attempts:
        result = None if attempt.cancelled() else attempt.result()
        if result is not None:
            result[1].transport.close()


async def _reflexive(
    protocol: aioice.ice.StunProtocol, server: IceServer
) -> aioice.Candidate | None:
    """How a STUN server sees one of our addresses; None when it does not tell."""
    loop = asyncio.get_running_loop()
    try:
        # Resolved here: a name handed to a socket's send would block everyone.
        found = await loop.getaddrinfo(server.url.host, server.url.port, family=socket.AF_INET)
        address = (str(found[0][4][0]), int(found[0][4][1]))
        candidate, _ = await aioice.ice.server_reflexive_candidate(protocol, address)
    except Exception as error:  # noqa: BLE001  the border to the library and to a stranger's server
        _log.debug("%s tells no address: %s", server.url, type(error).__name__)
        return None
    return candidate


async def _collect(
    reflexive: list[asyncio.Task[aioice.Candidate | None]],
    relay: asyncio.Task[aioice.Candidate | None] | None,
) -> list[aioice.Candidate]:
    """What came in time: STUN within two seconds, a relay within five, not both to the end."""
    found: list[aioice.Candidate] = []
    if relay is not None:
        candidate = await relay
        found += [candidate] if candidate is not None else []
    if reflexive:
        await asyncio.wait(reflexive, timeout=STUN_WAIT_S if relay is None else GRACE_S)
    told = [task.result() for task in reflexive if task.done()]
    return found + [candidate for candidate in told if candidate is not None]


def _why(error: BaseException) -> str:
    """Why a TURN server gave no relay, in our own words."""
    if isinstance(error, aioice.stun.TransactionFailed):
        code = _code(error)
        return _TURN_ERRORS.get(code, f"the TURN server refused ({code})")
    if isinstance(error, aioice.stun.TransactionTimeout):
        return "the TURN server does not answer"
    if isinstance(error, OSError):
        return "the TURN server cannot be reached, or its certificate not verified"
    return f"the TURN server misbehaved ({type(error).__name__})"


def _code(error: aioice.stun.TransactionFailed) -> int:
    code: int = error.response.attributes.get("ERROR-CODE", (0, ""))[0]
    return code


UNAUTHORIZED: Final = 401
_TURN_ERRORS: Final = {
    UNAUTHORIZED: "the TURN server does not take the credential",
    403: "the TURN server forbids it",
    441: "the TURN server does not take the credential",
    486: "the TURN server's quota for this credential is used up",
    508: "the TURN server has no room",
}


class GuardedTurn(aioice.turn.TurnTransport):
    """
    A relayed socket that sends at once where a channel is bound, and closes in bounded time.

    The library makes a task for each packet, asks for a channel's renewal once for every
    packet that is sent meanwhile, and tries for half a minute to give a relay back.
    """

    def __init__(self, inner_protocol: aioice.turn.TurnClientProtocol) -> None:
        super().__init__(inner_protocol)
        self._inner = inner_protocol
        self._closing: asyncio.Task[None] | None = None
        self._renewing: set[int] = set()
        self._unbound: set[asyncio.Task[None]] = set()

    def close(self) -> None:
        """Give the relay back; a second at most, then its server forgets it by itself."""
        if self._closing is None:
            self._closing = spawn(self._give_back(), name="webrtc-turn-close")

    def sendto(self, data: bytes, addr: tuple[str, int]) -> None:
        """Send one packet, or drop it as a network would."""
        inner = self._inner
        if self._closing is not None or inner.transport.is_closing():
            return
        if isinstance(inner.transport, asyncio.Transport) and _is_full(inner.transport):
            dropped.count("turn-queue-full")
            return
        channel = inner.peer_to_channel.get(addr)
        if channel is None:
            self._bind_and_send(data, addr)
            return
        inner._send(struct.pack("!HH", channel, len(data)) + data)
        if _clock.now() > inner.channel_refresh_at[channel] and channel not in self._renewing:
            self._renewing.add(channel)
            spawn(self._renew(channel, addr), name="webrtc-turn-channel")

    def _bind_and_send(self, data: bytes, addr: tuple[str, int]) -> None:
        if len(self._unbound) >= MAX_UNBOUND_PACKETS:
            dropped.count("turn-queue-full")
            return
        task = spawn(self._send_first(data, addr), name="webrtc-turn-bind")
        self._unbound.add(task)
        task.add_done_callback(self._unbound.discard)

    async def _send_first(self, data: bytes, addr: tuple[str, int]) -> None:
        # A peer that the relay does not let in is one that ICE finds no way to.
        with suppress(aioice.stun.TransactionError, ConnectionError):
            await self._inner.send_data(data, addr)

    async def _renew(self, channel: int, addr: tuple[str, int]) -> None:
        inner = self._inner
        try:
            with suppress(aioice.stun.TransactionError, ConnectionError):
                await inner.channel_bind(channel, addr)
                inner.channel_refresh_at[channel] = _clock.now() + inner.channel_refresh_time
        finally:
            self._renewing.discard(channel)

    async def _give_back(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(GIVE_BACK_S):
                await self._inner.delete()
        await cancel_and_wait(*self._unbound)


def _is_full(transport: asyncio.Transport) -> bool:
    return transport.get_write_buffer_size() > MAX_STREAM_BACKLOG_BYTES
