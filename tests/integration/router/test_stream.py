"""Relay streams: who is let in, what is copied, what it costs, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import struct
from collections.abc import AsyncIterator

import pytest

from commander.authority.refusals import Code
from commander.ids import new_uid
from commander.router import limits, relay
from commander.router.protocol import CloseCode
from commander.router.stream import StreamLeg
from commander.wire.calls import RELAY_PATH
from commander.wire.relay import PEER_GONE, RelayAnswer, RelayPrefix, write_prefix
from commander.wire.requests import FRESH_S
from tests.support.relay_streams import Stream, open_stream, prefix
from tests.support.router_server import Peer, RouterServer, closed_with
from tests.support.tunnels import eventually

pytestmark = pytest.mark.integration
Introduced = tuple[Peer, Peer, str]


@pytest.fixture
async def introduced(server: RouterServer) -> Introduced:
    """A device, a gateway, and their conversation."""
    return await server.introduce()


@pytest.fixture
async def joined(
    server: RouterServer, introduced: Introduced
) -> AsyncIterator[tuple[Stream, Stream]]:
    """Both sides of a relay."""
    device, gateway, conversation = introduced
    here = await open_stream(server, device, conversation)
    there = await open_stream(server, gateway, conversation)
    yield here, there
    here.close()
    there.close()


async def test_bytes_pass_both_ways_unchanged(server: RouterServer, introduced: Introduced) -> None:
    """Also those that were sent before the other side came; the relay counts them."""
    device, gateway, conversation = introduced
    here = await open_stream(server, device, conversation)
    await here.send(b"early")
    there = await open_stream(server, gateway, conversation)
    blob = secrets.token_bytes(3_000_000)

    async def back() -> bytes:
        await there.send(blob[::-1])
        return await there.read(5 + len(blob))

    received, _ = await asyncio.gather(back(), here.send(blob))
    assert received == b"early" + blob
    assert await here.read(len(blob)) == blob[::-1]
    assert server.router.relays.copied_bytes == 5 + 2 * len(blob)
    assert server.router.relays.pairs() == 1
    here.close()
    there.close()


@pytest.mark.parametrize("stream_first", [True, False])
async def test_a_stream_and_a_websocket_are_joined(
    server: RouterServer, introduced: Introduced, stream_first: bool
) -> None:
    """Each end comes as its network lets it; bytes pass, and each is told when the other leaves."""
    device, gateway, conversation = introduced
    if stream_first:
        here = await open_stream(server, device, conversation)
        there = await server.relay(gateway, conversation)
    else:
        there = await server.relay(gateway, conversation)
        here = await open_stream(server, device, conversation)
    blob = secrets.token_bytes(1_000_000)
    received = b""
    await here.send(blob)
    async with asyncio.timeout(20):
        while len(received) < len(blob):
            piece = await there.recv(decode=False)
            assert len(piece) <= limits.MAX_PIECE
            received += piece
    assert received == blob
    await there.send(b"answer")
    assert await here.read(6) == b"answer"
    if stream_first:
        here.close()
        assert await closed_with(there) == (PEER_GONE, "peer-gone")
    else:
        await there.close()
        assert await here.rest() == (b"", PEER_GONE)
    here.close()


async def test_a_relay_needs_an_introduction(server: RouterServer, introduced: Introduced) -> None:
    """Unknown and foreign conversations are refused alike, as at an upgrade."""
    device, _, conversation = introduced
    for peer, uid in (
        (device, new_uid()),
        (server.gate.device(), conversation),
        (server.gate.gateway(), conversation),
        (device, "x"),
    ):
        stream = await Stream.dial(server.plain_relay_port, prefix(server, peer, uid))
        assert await stream.answer() == RelayAnswer(404, Code.PEER_UNKNOWN)
        assert await stream.rest() == (b"", None)
        stream.close()
    assert server.router.refused[Code.PEER_UNKNOWN] == 4


async def test_each_broken_proof_has_its_code(server: RouterServer, introduced: Introduced) -> None:
    """A stranger, another's signature, another path, an old one; the control is let in."""
    device, gateway, conversation = introduced
    path = RELAY_PATH + conversation
    stranger = Peer(device.principal)
    old = int(server.clock.now()) - FRESH_S - 60
    for data, answer in (
        (prefix(server, stranger, conversation), RelayAnswer(401, Code.REQUEST_SIGNATURE)),
        (prefix(server, device, conversation, time=old), RelayAnswer(401, Code.REQUEST_STALE)),
        (
            write_prefix(RelayPrefix(conversation, server.header(device, path + "x"))),
            RelayAnswer(401, Code.REQUEST_SIGNATURE),
        ),
        (
            write_prefix(RelayPrefix(conversation, "no proof")),
            RelayAnswer(400, Code.REQUEST_MALFORMED),
        ),
        (prefix(server, gateway, conversation), RelayAnswer(0)),
    ):
        stream = await Stream.dial(server.plain_relay_port, data)
        assert await stream.answer() == answer
        stream.close()


async def test_a_prefix_is_good_once(server: RouterServer, introduced: Introduced) -> None:
    """Replayed on a stream or at the WebSocket, it opens nothing."""
    device, _, conversation = introduced
    seen = prefix(server, device, conversation)
    first = await Stream.dial(server.plain_relay_port, seen)
    assert await first.answer() == RelayAnswer(0)
    again = await Stream.dial(server.plain_relay_port, seen)
    assert await again.answer() == RelayAnswer(401, Code.REQUEST_REPLAYED)
    first.close()
    again.close()


@pytest.mark.parametrize(
    "data",
    [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\xff", b"\0cmdrrl\x02", b"\0cmdrrl\x01\xff"],
)
async def test_other_protocols_are_cut_without_a_word(server: RouterServer, data: bytes) -> None:
    """By their first wrong byte."""
    stream = await Stream.dial(server.plain_relay_port, data)
    assert await stream.rest() == (b"", None)
    assert server.router.streams.counters == {"broken": 1}
    assert not server.router.streams.strangers
    stream.close()


async def test_bytes_behind_the_prefix_before_its_answer_are_a_breach(
    server: RouterServer, introduced: Introduced
) -> None:
    """Nothing is kept for who has not been let in."""
    device, _, conversation = introduced
    stream = await Stream.dial(server.plain_relay_port, prefix(server, device, conversation) + b"x")
    assert await stream.rest() == (b"", None)
    assert server.router.streams.counters == {"broken": 1}
    stream.close()


async def test_a_slow_prefix_is_given_up(
    server: RouterServer, introduced: Introduced, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever sends a byte now and then has ten seconds like everybody; here a fifth of one."""
    monkeypatch.setattr(limits, "PREFIX_S", 0.2)
    device, _, conversation = introduced
    data = prefix(server, device, conversation)
    stream = await Stream.dial(server.plain_relay_port, data[:-1])
    assert await stream.rest() == (b"", None)
    assert server.router.streams.counters == {"late": 1}
    stream.close()


async def test_strangers_are_bounded_and_do_not_shut_others_out(
    server: RouterServer, introduced: Introduced, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Past the bound the oldest is cut, so that who shows a prefix at once always gets in."""
    monkeypatch.setattr(limits, "MAX_PREFIXES", 3)
    device, _, conversation = introduced
    strangers = [await Stream.dial(server.plain_relay_port) for _ in range(4)]
    assert await strangers[0].rest() == (b"", None)
    assert len(server.router.streams.strangers) == 3
    assert server.router.streams.counters == {"pushed-out": 1}

    honest = await open_stream(server, device, conversation)
    for stranger in (*strangers, honest):
        stranger.close()
    await eventually(lambda: not server.router.streams.strangers, "all are forgotten")


async def test_prefixes_being_judged_are_bounded(
    server: RouterServer, introduced: Introduced, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the store is slow, no more than so many wait for its answer; then all goes on."""
    monkeypatch.setattr(limits, "MAX_JUDGED", 1)
    device, gateway, conversation = introduced
    server.gate.hold.clear()
    server.gate.asked.clear()
    first = await Stream.dial(server.plain_relay_port, prefix(server, device, conversation))
    await server.gate.asked.wait()
    second = await Stream.dial(server.plain_relay_port, prefix(server, gateway, conversation))
    assert await second.rest() == (b"", None)
    assert server.router.streams.counters == {"too-many": 1}
    server.gate.hold.set()
    assert await first.answer() == RelayAnswer(0)
    assert not server.router.streams.judged
    first.close()
    second.close()


async def test_a_side_that_leaves_ends_the_other_with_the_reason(
    joined: tuple[Stream, Stream],
) -> None:
    """What was sent before arrives first."""
    here, there = joined
    await here.send(b"last words")
    here.close()
    assert await there.rest() == (b"last words", PEER_GONE)


async def test_a_reset_ends_the_other_too(joined: tuple[Stream, Stream]) -> None:
    """A killed process."""
    here, there = joined
    linger = struct.pack("ii", 1, 0)
    here.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    here.close()
    assert (await there.rest())[1] == PEER_GONE


async def test_a_third_connection_replaces_its_own_side_only(
    server: RouterServer, introduced: Introduced, joined: tuple[Stream, Stream]
) -> None:
    """A client that lost its path comes back; nobody else can take a side."""
    device, gateway, conversation = introduced
    here, there = joined
    stranger = await Stream.dial(
        server.plain_relay_port, prefix(server, server.gate.device(), conversation)
    )
    assert await stranger.answer() == RelayAnswer(404, Code.PEER_UNKNOWN)
    await here.send(b"still joined")
    assert await there.read(12) == b"still joined"

    again = await open_stream(server, device, conversation)
    assert (await here.rest())[1] == PEER_GONE
    assert (await there.rest())[1] == PEER_GONE
    far = await open_stream(server, gateway, conversation)
    await again.send(b"anew")
    assert await far.read(4) == b"anew"
    for stream in (stranger, again, far):
        stream.close()


async def test_who_waits_too_long_alone_is_told(
    server: RouterServer, introduced: Introduced, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other side never came."""
    monkeypatch.setattr(relay, "PAIR_S", 0.2)
    device, _, conversation = introduced
    alone = await open_stream(server, device, conversation)
    assert await alone.rest() == (b"", CloseCode.PAIR_TIMEOUT)
    assert server.router.relays.counters["pair-timeout"] == 1
    alone.close()


async def test_waiting_streams_of_one_principal_are_bounded(
    server: RouterServer, introduced: Introduced, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many as WebSockets, counted together."""
    monkeypatch.setattr(relay, "MAX_WAITING_RELAYS", 1)
    device, _, conversation = introduced
    first = await open_stream(server, device, conversation)
    second = await Stream.dial(server.plain_relay_port, prefix(server, device, conversation))
    assert await second.answer() == RelayAnswer(429, Code.TOO_MANY_REQUESTS)
    first.close()
    second.close()


async def test_sides_racing_for_each_other_are_joined_once(
    server: RouterServer, introduced: Introduced
) -> None:
    """Whatever the order in which both ends come and are judged."""
    device, gateway, conversation = introduced
    for _ in range(10):
        here, there = await asyncio.gather(
            open_stream(server, device, conversation), open_stream(server, gateway, conversation)
        )
        await here.send(b"ping")
        assert await there.read(4) == b"ping"
        here.close()
        await there.rest()
        there.close()
    assert server.router.relays.counters["paired"] == 10
    await eventually(lambda: len(server.router.relays) == 0, "nothing is left")


async def test_who_leaves_while_it_is_judged_leaves_nothing_behind(
    server: RouterServer, introduced: Introduced
) -> None:
    """The answer has nobody to go to."""
    device, _, conversation = introduced
    server.gate.hold.clear()
    server.gate.asked.clear()
    stream = await Stream.dial(server.plain_relay_port, prefix(server, device, conversation))
    await server.gate.asked.wait()
    stream.close()
    server.gate.hold.set()
    await eventually(lambda: not server.router.streams.judged, "it is forgotten")
    await eventually(lambda: len(server.router.relays) == 0, "no leg waits")


async def test_a_revoked_side_is_cut_and_the_other_told(
    server: RouterServer, introduced: Introduced, joined: tuple[Stream, Stream]
) -> None:
    """With the code of the revocation for one, and of a peer that is gone for the other."""
    here, there = joined
    server.gate.revoke(introduced[0])
    assert await here.rest() == (b"", CloseCode.REVOKED)
    assert await there.rest() == (b"", PEER_GONE)


async def test_a_restart_is_told(server: RouterServer, joined: tuple[Stream, Stream]) -> None:
    """Both come back; neither believes the other gone."""
    await server.router.close()
    codes = {(await stream.rest())[1] for stream in joined}
    assert CloseCode.RESTART in codes
    assert codes <= {CloseCode.RESTART, PEER_GONE}


async def test_a_slow_reader_costs_a_bounded_amount(
    server: RouterServer, joined: tuple[Stream, Stream]
) -> None:
    """The sender is not read on, and what the relay holds stays within its bound."""
    here, there = joined
    sent = 0
    loop = asyncio.get_running_loop()
    chunk = bytes(1024 * 1024)
    with contextlib.suppress(TimeoutError):
        while sent < 64 * len(chunk):
            async with asyncio.timeout(2):
                await loop.sock_sendall(here.connection, chunk)
            sent += len(chunk)
    assert sent < 32 * len(chunk)
    copied = server.router.relays.copied_bytes
    # What was copied is in the far socket's buffers, or in the transport: its mark and one read.
    waiting = held_back(server)
    assert waiting <= 2 * limits.STREAM_BYTES + 64 * 1024
    received = 0
    while received < copied:
        received += len(await there.read(1))
        received += len(there.received)
        there.received = b""
    assert received >= copied


def held_back(server: RouterServer) -> int:
    """Bytes that wait in the process for relay streams."""
    return max(leg.waiting_bytes() for leg in server.router.relays if isinstance(leg, StreamLeg))
