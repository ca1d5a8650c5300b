"""Relay sockets with real WebSockets."""

from __future__ import annotations

import asyncio
import json
import secrets
from dataclasses import dataclass

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import InvalidStatus

from commander.authority.refusals import Code
from commander.codec import encode
from commander.ids import new_uid
from commander.router import limits, relay
from commander.wire.commands import Send
from tests.support.router_server import Peer, RouterServer, closed_with, receive

pytestmark = pytest.mark.integration


@dataclass
class Introduced:
    """Two peers and their conversation."""

    device: Peer
    gateway: Peer
    conversation: str
    sockets: tuple[ClientConnection, ClientConnection]


@pytest.fixture
async def introduced(server: RouterServer) -> Introduced:
    """A device whose first message was delivered to a gateway."""
    device, gateway = server.gate.device(), server.gate.gateway()
    server.gate.allow(device, gateway)
    there, here = await server.control(gateway), await server.control(device)
    conversation = new_uid()
    await here.send(encode(Send(conversation, gateway.uid, b"command")))
    await receive(there)
    return Introduced(device, gateway, conversation, (here, there))


async def test_messages_pass_both_ways_unchanged(
    server: RouterServer, introduced: Introduced
) -> None:
    """What one side sends before and after the other came arrives whole and in order."""
    here = await server.relay(introduced.device, introduced.conversation)
    await here.send(b"early")
    there = await server.relay(introduced.gateway, introduced.conversation)
    blob = secrets.token_bytes(65_536 + 128)

    await here.send(blob)
    await there.send(b"back")

    async with asyncio.timeout(20):
        assert [await there.recv(), await there.recv()] == [b"early", blob]
        assert await here.recv() == b"back"


async def test_a_relay_needs_an_introduction(server: RouterServer, introduced: Introduced) -> None:
    """Unknown and foreign conversations are refused alike, before the upgrade."""
    bodies = []

    for peer, conversation in (
        (introduced.device, new_uid()),
        (server.gate.device(), introduced.conversation),
        (server.gate.gateway(), introduced.conversation),
        (introduced.device, "x"),
    ):
        with pytest.raises(InvalidStatus) as caught:
            await server.relay(peer, conversation)
        assert caught.value.response.status_code == 404
        bodies.append(json.loads(caught.value.response.body or b""))

    assert all(body == bodies[0] for body in bodies)
    assert bodies[0]["code"] == Code.PEER_UNKNOWN


async def test_both_sides_close_when_one_ends(server: RouterServer, introduced: Introduced) -> None:
    """The end of one socket is told to the other at once, and nothing stays behind."""
    here = await server.relay(introduced.device, introduced.conversation)
    there = await server.relay(introduced.gateway, introduced.conversation)
    await here.send(b"x")
    await there.recv()

    await here.close()

    assert await closed_with(there) == (4010, "peer-gone")
    async with asyncio.timeout(20):
        while len(server.router.relays):
            await asyncio.sleep(0.01)


async def test_a_lonely_side_is_closed_at_the_deadline(
    server: RouterServer, introduced: Introduced, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for its pair for ever."""
    monkeypatch.setattr(relay, "PAIR_S", 0.2)
    here = await server.relay(introduced.device, introduced.conversation)

    assert await closed_with(here) == (4008, "pair-timeout")


async def test_a_side_that_comes_back_replaces_itself(
    server: RouterServer, introduced: Introduced
) -> None:
    """After a path loss that the router has not noticed the conversation pairs again."""
    old = await server.relay(introduced.device, introduced.conversation)
    old_peer = await server.relay(introduced.gateway, introduced.conversation)
    await old.send(b"x")
    await old_peer.recv()

    here = await server.relay(introduced.device, introduced.conversation)
    assert (await closed_with(old))[1] == "replaced"
    assert (await closed_with(old_peer))[1] == "peer-gone"
    there = await server.relay(introduced.gateway, introduced.conversation)
    await here.send(b"again")

    async with asyncio.timeout(20):
        assert await there.recv() == b"again"


async def test_a_slow_reader_slows_the_sender(server: RouterServer, introduced: Introduced) -> None:
    """The router takes no more than it can hand on: the sender waits, nothing is lost."""
    here = await server.relay(introduced.device, introduced.conversation)
    there = await server.relay(introduced.gateway, introduced.conversation)
    there.transport.pause_reading()
    message = bytes(64 * 1024)
    sent = 0

    try:
        async with asyncio.timeout(1):
            while sent < 1000:
                await here.send(message)
                sent += 1
    except TimeoutError:
        sent += 1  # the last one was begun, and a begun message is sent whole

    assert sent < 1000
    there.transport.resume_reading()
    async with asyncio.timeout(60):
        received = [await there.recv() for _ in range(sent)]
    assert received == [message] * sent


async def test_text_closes_both_sides(server: RouterServer, introduced: Introduced) -> None:
    """There is no text in a relay."""
    here = await server.relay(introduced.device, introduced.conversation)
    there = await server.relay(introduced.gateway, introduced.conversation)

    await here.send("text")

    assert (await closed_with(here))[0] == 1003
    assert (await closed_with(there))[0] == 4010


async def test_revocation_ends_the_relay(server: RouterServer, introduced: Introduced) -> None:
    """At the head that revokes a device its relays close on both sides and stay closed."""
    here = await server.relay(introduced.device, introduced.conversation)
    there = await server.relay(introduced.gateway, introduced.conversation)

    server.gate.revoke(introduced.device)

    assert await closed_with(here) == (4003, Code.DEVICE_REVOKED)
    assert (await closed_with(there))[0] == 4010
    with pytest.raises(InvalidStatus):
        await server.relay(introduced.gateway, introduced.conversation)


async def test_waiting_relays_are_bounded(
    server: RouterServer, introduced: Introduced, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One principal cannot fill the server with sockets that wait."""
    monkeypatch.setattr(relay, "MAX_WAITING_RELAYS", 1)
    here, there = introduced.sockets
    second = new_uid()
    await here.send(encode(Send(second, introduced.gateway.uid, b"")))
    await receive(there)
    await server.relay(introduced.device, introduced.conversation)

    with pytest.raises(InvalidStatus) as caught:
        await server.relay(introduced.device, second)

    assert caught.value.response.status_code == 429
    assert limits.MAX_WAITING_RELAYS > 1
