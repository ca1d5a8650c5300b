from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import aioice
import aioice.stun
import aioice.turn
import pytest

from commander.secret import Secret
from commander.tasks import cancel_and_wait
from commander.tunnel.transports import webrtc_agent, webrtc_guards
from commander.tunnel.transports.ice import IceServer, WebRtcOptions
from commander.tunnel.transports.webrtc_agent import GuardedConnection, GuardedStun, GuardedTurn
from commander.tunnel.transports.webrtc_drops import dropped
from commander.wire.ice import parse_ice_url
from tests.unit.tunnel.transports.stun_shapes import malformed_stun, stun_request


@pytest.fixture(autouse=True)
def guards() -> None:
    webrtc_guards.install_guards()


def count_of(kind: str) -> int:
    return dropped.totals[kind]


# --- Datagrams ------------------------------------------------------------------------------------

PEER = ("192.0.2.7", 4000)
STRANGER = ("192.0.2.66", 4000)
DTLS = b"\x16" + bytes(40)


class Outbox(asyncio.DatagramTransport):
    """Keeps what would go to the network."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []
        self.closed = asyncio.Event()

    def close(self) -> None:
        self.closed.set()

    def sendto(self, data: Any, addr: Any = None) -> None:
        self.sent.append(bytes(data))

    def is_closing(self) -> bool:
        return False


@pytest.fixture
async def socket() -> GuardedStun:
    """A guarded socket of an agent that knows one remote candidate."""
    agent = GuardedConnection(ice_controlling=False)
    known = aioice.Candidate("1", 1, "udp", 1, *PEER, "host")
    await agent.add_remote_candidate(known)
    stun = GuardedStun(agent)
    stun.connection_made(Outbox())
    stun.local_candidate = aioice.Candidate("1", 1, "udp", 1, "192.0.2.1", 4001, "host")
    return stun


def sent_by(stun: GuardedStun) -> list[bytes]:
    transport = stun.transport
    assert isinstance(transport, Outbox)
    return transport.sent


def check_from_peer(stun: GuardedStun) -> bytes:
    agent = stun.receiver
    message = stun_request(USERNAME=f"{agent.local_username}:peer", PRIORITY=1, ICE_CONTROLLING=1)
    message.add_message_integrity(agent.local_password.encode())
    return bytes(message)


async def test_dtls_of_a_known_source_is_queued(socket: GuardedStun) -> None:
    """The control: what comes from a candidate waits for DTLS."""
    socket.datagram_received(DTLS, PEER)

    assert socket.receiver._queue.qsize() == 1


@pytest.mark.parametrize(
    ("data", "source", "kind"),
    [
        (DTLS, STRANGER, "dtls-foreign"),
        (b"", PEER, "datagram-size"),
        (b"\x16" * 3000, PEER, "datagram-size"),
        (b"\x80" * 40, PEER, "datagram-kind"),
        (b"\x05" * 40, PEER, "datagram-kind"),
        (malformed_stun((0x24, b"\0")), PEER, "stun-malformed"),
        (b"\x00\x01", STRANGER, "stun-malformed"),
        (bytes(stun_request()), STRANGER, "stun-unasked"),
        (bytes(stun_request(USERNAME="a:b")), STRANGER, "stun-unasked"),
    ],
)
async def test_unwanted_datagram_is_dropped_and_counted(
    socket: GuardedStun, data: bytes, source: tuple[str, int], kind: str
) -> None:
    """It reaches no queue, and gets no answer that could be aimed at someone (B119, B120)."""
    before = count_of(kind)

    socket.datagram_received(data, source)

    assert count_of(kind) == before + 1
    assert socket.receiver._queue.empty()
    assert sent_by(socket) == []


@pytest.mark.parametrize(("source", "kind"), [(PEER, "stun-late"), (STRANGER, "stun-unasked")])
async def test_an_answer_that_comes_twice_is_no_attack(
    socket: GuardedStun, source: tuple[str, int], kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """From the peer it is dropped without a line in the log; from a stranger it is told."""
    answer = stun_request()
    answer.message_class = aioice.stun.Class.RESPONSE
    before = count_of(kind)

    socket.datagram_received(bytes(answer), source)

    assert count_of(kind) == before + 1
    assert kind not in caplog.text or source == STRANGER


async def test_authenticated_check_is_answered(socket: GuardedStun) -> None:
    """The control: a check of the peer, also from a new address, gets its answer."""
    socket.datagram_received(check_from_peer(socket), STRANGER)

    assert len(sent_by(socket)) == 1


async def test_flood_of_a_known_source_does_not_grow_the_queue(socket: GuardedStun) -> None:
    """What waits is bounded, whoever sends."""
    for _ in range(webrtc_agent.MAX_WAITING_DATAGRAMS + 500):
        socket.datagram_received(DTLS, PEER)

    assert socket.receiver._queue.qsize() == webrtc_agent.MAX_WAITING_DATAGRAMS


async def test_sources_of_checks_are_bounded(socket: GuardedStun) -> None:
    """A peer that moves from port to port is learned so many times, and no more (B116)."""
    socket.receiver._early_checks_done = True
    socket.receiver.remote_username, socket.receiver.remote_password = "peer", "p" * 22
    for port in range(1024, 1424):
        socket.datagram_received(check_from_peer(socket), ("192.0.2.8", port))
    await socket.receiver.close()

    assert len(socket.receiver._remote_candidates) <= webrtc_agent.MAX_REMOTE_CANDIDATES


async def test_only_chosen_addresses_are_offered() -> None:
    """An agent gathers on what its owner chose, not on what the machine has."""
    agent = GuardedConnection(ice_controlling=True)
    agent.choose_addresses = lambda addresses: []
    await agent.gather_candidates()

    assert agent.local_candidates == []
    await agent.close()


async def test_reading_a_full_queue_lets_others_run() -> None:
    """A flood is read in turns, so that a timer in the same loop is not starved."""
    agent = GuardedConnection(ice_controlling=True)
    for _ in range(200):
        agent.data_received(DTLS, 1)
    agent._nominated[1] = aioice.ice.CandidatePair(GuardedStun(agent), None)  # type: ignore[arg-type]
    turns = 0

    def turn() -> None:
        nonlocal turns
        turns += 1
        asyncio.get_running_loop().call_soon(turn)

    asyncio.get_running_loop().call_soon(turn)
    for _ in range(200):
        await agent.recv()

    assert turns >= 10


# --- Servers --------------------------------------------------------------------------------------


class Silent(asyncio.DatagramProtocol):
    """A server that answers nothing."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport


@pytest.fixture
async def silent_port() -> AsyncIterator[int]:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Silent, local_addr=("127.0.0.1", 0))
    yield transport.get_extra_info("sockname")[1]
    transport.close()


def agent_with(*urls: str) -> GuardedConnection:
    agent = GuardedConnection(ice_controlling=True)
    agent.choose_addresses = lambda addresses: ["127.0.0.1"]
    servers = tuple(IceServer(parse_ice_url(url), "user", Secret("password")) for url in urls)
    agent.options = WebRtcOptions(servers)
    return agent


async def test_a_relay_that_refuses_the_connection_is_told_at_once(silent_port: int) -> None:
    """Nothing listens there for TCP; why there is no relay is kept for the user."""
    agent = agent_with(f"turn:127.0.0.1:{silent_port}?transport=tcp")

    await agent.gather_candidates()

    assert [item.type for item in agent.local_candidates] == ["host"]
    assert "cannot be reached" in agent.refused
    await agent.close()


async def test_an_answer_of_a_turn_server_is_told_in_our_words() -> None:
    """No text of the server's reaches a person."""
    response = aioice.stun.Message(aioice.stun.Method.ALLOCATE, aioice.stun.Class.ERROR)
    response.attributes["ERROR-CODE"] = (486, "\x1b[31mgo away")

    told = webrtc_agent._why(aioice.stun.TransactionFailed(response))

    assert told == "the TURN server's quota for this credential is used up"
    response.attributes["ERROR-CODE"] = (599, "\x1b[31m")
    assert webrtc_agent._why(aioice.stun.TransactionFailed(response)).isprintable()
    assert "KeyError" in webrtc_agent._why(KeyError("x"))


class Inner(aioice.turn.TurnClientUdpProtocol):
    """A TURN client with one bound channel, whose network is a list."""

    def __init__(self) -> None:
        super().__init__(("192.0.2.9", 3478), "user", "password", 600, 240)
        self.outbox = Outbox()
        self.connection_made(self.outbox)
        self.peer_to_channel[PEER] = 0x4000
        self.channel_refresh_at[0x4000] = 2.0**40
        self.bindings = 0
        self.may_bind = asyncio.Event()

    async def channel_bind(self, channel_number: int, addr: tuple[str, int]) -> None:
        self.bindings += 1
        await self.may_bind.wait()


async def test_relayed_packets_of_a_bound_channel_are_sent_at_once() -> None:
    """Without a task each: header of four bytes, then the packet."""
    inner = Inner()
    transport = GuardedTurn(inner)

    transport.sendto(b"packet", PEER)

    assert inner.outbox.sent == [b"\x40\x00\x00\x06packet"]


async def test_a_channel_is_renewed_once_while_packets_go_on() -> None:
    """The library would ask once for every packet that is sent meanwhile."""
    inner = Inner()
    inner.channel_refresh_at[0x4000] = 0.0
    transport = GuardedTurn(inner)
    for _ in range(50):
        transport.sendto(b"packet", PEER)
    await asyncio.sleep(0)
    inner.may_bind.set()
    async with asyncio.timeout(10):
        while inner.channel_refresh_at[0x4000] == 0.0:
            await asyncio.sleep(0)

    assert inner.bindings == 1
    assert len(inner.outbox.sent) == 50


async def test_a_silent_relay_does_not_hold_up_the_end() -> None:
    """Giving a relay back takes a second at most; the library tries for half a minute."""
    inner = Inner()
    transport = GuardedTurn(inner)
    began = time.monotonic()

    transport.close()
    transport.close()
    async with asyncio.timeout(20):
        await inner.outbox.closed.wait()

    transport.sendto(b"late", PEER)
    assert time.monotonic() - began < 10
    assert not any(b"late" in packet for packet in inner.outbox.sent)


async def test_packets_to_a_peer_that_is_not_let_in_do_not_pile_up() -> None:
    """They wait for the relay's word, so many and no more."""
    inner = Inner()
    transport = GuardedTurn(inner)
    before = count_of("turn-queue-full")
    for _ in range(webrtc_agent.MAX_UNBOUND_PACKETS + 10):
        transport.sendto(b"packet", STRANGER)

    assert count_of("turn-queue-full") == before + 10
    await cancel_and_wait(*transport._unbound)


class Full(asyncio.Transport):
    """A TCP connection whose far end does not read."""

    def get_write_buffer_size(self) -> int:
        return webrtc_agent.MAX_STREAM_BACKLOG_BYTES + 1

    def is_closing(self) -> bool:
        return False


async def test_a_stalled_connection_to_the_relay_does_not_grow_a_queue() -> None:
    """Packets are dropped and counted, as a full queue on the way would drop them."""
    inner = aioice.turn.TurnClientTcpProtocol(("192.0.2.9", 3478), "user", "password", 600, 240)
    inner.connection_made(Full())
    inner.peer_to_channel[PEER] = 0x4000
    before = count_of("turn-queue-full")

    GuardedTurn(inner).sendto(b"packet", PEER)

    assert count_of("turn-queue-full") == before + 1
