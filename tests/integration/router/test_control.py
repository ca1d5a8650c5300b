"""The control socket with real WebSockets."""

from __future__ import annotations

import asyncio

import pytest

from commander.authority.decide import Refuse
from commander.authority.refusals import Code
from commander.codec import encode
from commander.ids import new_uid
from commander.router.limits import MAX_DEVICE_SOCKETS, QUEUE_BYTES, SENDS_BURST
from commander.wire.calls import ROUTER_PATH
from commander.wire.commands import Deliver, Head, Hello, Send, Undeliverable
from tests.support.router_server import Peer, RouterServer, closed_with, receive

pytestmark = pytest.mark.integration


def joined(server: RouterServer) -> tuple[Peer, Peer]:
    """A device and a gateway that may talk."""
    device, gateway = server.gate.device(), server.gate.gateway()
    server.gate.allow(device, gateway)
    return device, gateway


async def test_a_command_and_its_answer_pass(server: RouterServer) -> None:
    """What a device sends arrives with its authenticated sender, and so does the answer."""
    device, gateway = joined(server)
    there, here = await server.control(gateway), await server.control(device)
    conversation = new_uid()

    await here.send(encode(Send(conversation, gateway.uid, b"command")))
    assert await receive(there) == Deliver(conversation, device.uid, b"command")
    await there.send(encode(Send(conversation, device.uid, b"reply")))

    assert await receive(here) == Deliver(conversation, gateway.uid, b"reply")


async def test_answers_go_to_the_socket_that_asked(server: RouterServer) -> None:
    """Two processes of one device each get the answers of their own conversation."""
    device, gateway = joined(server)
    there = await server.control(gateway)
    one, two = await server.control(device), await server.control(device)
    first, second = new_uid(), new_uid()
    await one.send(encode(Send(first, gateway.uid, b"1")))
    await receive(there)
    await two.send(encode(Send(second, gateway.uid, b"2")))
    await receive(there)

    await there.send(encode(Send(first, device.uid, b"for one")))
    await there.send(encode(Send(second, device.uid, b"for two")))

    assert await receive(one) == Deliver(first, gateway.uid, b"for one")
    assert await receive(two) == Deliver(second, gateway.uid, b"for two")


async def test_unknown_foreign_and_client_addressees_look_the_same(server: RouterServer) -> None:
    """Nothing tells an unknown gateway, one of others, online or not, and a client apart."""
    device, gateway = joined(server)
    foreign, other = server.gate.gateway(), server.gate.device()
    here = await server.control(device)
    for peer in (foreign, other, gateway):
        await server.control(peer)
    answers = set()

    for to in (new_uid(), foreign.uid, other.uid, server.gate.gateway().uid):
        conversation = new_uid()
        await here.send(encode(Send(conversation, to, b"x")))
        answer = await receive(here)
        assert isinstance(answer, Undeliverable)
        assert answer.conversation == conversation
        answers.add((answer.code, answer.message))

    assert {code for code, _ in answers} == {Code.PEER_UNKNOWN}
    assert len(answers) == 1


async def test_a_known_gateway_that_is_away_is_offline(server: RouterServer) -> None:
    """Who may talk to a gateway is told that it is not connected."""
    device, gateway = joined(server)
    here = await server.control(device)

    await here.send(encode(Send(new_uid(), gateway.uid, b"x")))

    answer = await receive(here)
    assert isinstance(answer, Undeliverable)
    assert answer.code == Code.GATEWAY_OFFLINE


async def test_policy_refuses_early(server: RouterServer) -> None:
    """A refusal that speaks of the caller reaches it with its own code, and the journal."""
    device, gateway = joined(server)
    there, here = await server.control(gateway), await server.control(device)
    server.gate.verdicts[device.uid] = Refuse(Code.POLICY_MISSING, "no role grants it")

    await here.send(encode(Send(new_uid(), gateway.uid, b"x")))

    answer = await receive(here)
    assert isinstance(answer, Undeliverable)
    assert answer.code == Code.POLICY_MISSING
    assert [refusal.code for refusal in server.notes.refused] == [Code.POLICY_MISSING]
    del server.gate.verdicts[device.uid]
    await here.send(encode(Send(new_uid(), gateway.uid, b"x")))
    assert isinstance(await receive(there), Deliver)


async def test_a_gateway_never_opens_a_conversation(server: RouterServer) -> None:
    """A gateway can answer, and do nothing else."""
    device, gateway = joined(server)
    there = await server.control(gateway)
    await server.control(device)

    await there.send(encode(Send(new_uid(), device.uid, b"x")))

    answer = await receive(there)
    assert isinstance(answer, Undeliverable)
    assert answer.code == Code.PEER_UNKNOWN


async def test_nobody_speaks_in_a_foreign_conversation(server: RouterServer) -> None:
    """A third device that knows a conversation's id gets nothing through."""
    device, gateway = joined(server)
    third = server.gate.device()
    server.gate.allow(third, gateway)
    there, here = await server.control(gateway), await server.control(device)
    stranger = await server.control(third)
    conversation = new_uid()
    await here.send(encode(Send(conversation, gateway.uid, b"x")))
    await receive(there)

    await stranger.send(encode(Send(conversation, gateway.uid, b"y")))

    answer = await receive(stranger)
    assert isinstance(answer, Undeliverable)
    assert answer.code == Code.PEER_UNKNOWN


async def test_presence_follows_the_connection(server: RouterServer) -> None:
    """A gateway is online from its hello to its end, with version and address."""
    gateway = server.gate.gateway()
    assert server.router.registry.online(gateway.uid) is None

    socket = await server.control(gateway, version="9.8.7")

    found = server.router.registry.online(gateway.uid)
    assert found is not None
    assert (found.version, found.address) == ("9.8.7", "127.0.0.1")
    await socket.close()
    async with asyncio.timeout(20):
        while server.router.registry.online(gateway.uid) is not None:
            await asyncio.sleep(0.01)
    assert len(server.router.registry) == 0


async def test_a_second_gateway_socket_fences_the_first(server: RouterServer) -> None:
    """The newer process wins, the older is told why, and the journal hears of it."""
    device, gateway = joined(server)
    old = await server.control(gateway)

    new = await server.control(gateway)

    assert await closed_with(old) == (4001, "fenced")
    assert server.notes.fenced == [gateway.principal]
    here = await server.control(device)
    await here.send(encode(Send(new_uid(), gateway.uid, b"x")))
    assert isinstance(await receive(new), Deliver)


async def test_the_oldest_of_too_many_device_sockets_is_fenced(server: RouterServer) -> None:
    """A device has sixteen sockets at most."""
    device = server.gate.device()
    sockets = [await server.control(device) for _ in range(MAX_DEVICE_SOCKETS)]

    await server.control(device)

    assert await closed_with(sockets[0]) == (4001, "fenced")
    assert len(server.router.registry) == MAX_DEVICE_SOCKETS


@pytest.mark.parametrize(
    "message",
    [
        Send("A" * 22, "A" * 22, b""),
        Head(1, bytes(32)),
        Deliver("A" * 22, "A" * 22, b""),
        Hello("x" * 200, ""),
        Hello("1\n2", ""),
    ],
    ids=lambda message: type(message).__name__,
)
async def test_the_first_message_is_a_plain_hello(server: RouterServer, message: object) -> None:
    """Anything else closes the socket, before anyone is told of the peer."""
    gateway = server.gate.gateway()
    socket = await server.dial(ROUTER_PATH, server.header(gateway, ROUTER_PATH))

    await socket.send(encode(message))

    assert (await closed_with(socket))[0] == 1008
    assert server.router.registry.online(gateway.uid) is None


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (encode(Hello("1", "")), 1008),
        (encode(Head(1, bytes(32))), 1008),
        (encode(Undeliverable("A" * 22, "x", "y")), 1008),
        (encode(Send("short", "A" * 22, b"")), 1008),
        (b"\xc1garbage", 1008),
        ("text", 1003),
        (bytes(200_000), 1009),
    ],
)
async def test_bad_messages_close_the_socket(
    server: RouterServer, payload: str | bytes, code: int
) -> None:
    """A second hello, the router's own kinds, garbage, text and giants each get the right close code."""
    device, gateway = joined(server)
    here = await server.control(device)

    await here.send(payload)

    assert (await closed_with(here))[0] == code
    there, again = await server.control(gateway), await server.control(device)
    await again.send(encode(Send(new_uid(), gateway.uid, b"x")))
    assert isinstance(await receive(there), Deliver)


async def test_a_peer_that_stops_reading_is_cut_off(server: RouterServer) -> None:
    """Its queue stays within a mebibyte, it is closed, and others notice nothing."""
    device, gateway = joined(server)
    second = server.gate.gateway()
    server.gate.allow(device, second)
    slow, there = await server.control(gateway), await server.control(second)
    slow.transport.pause_reading()
    connection = server.router.registry.newest(gateway.uid)
    assert connection is not None

    payload = encode(Deliver(new_uid(), device.uid, bytes(60_000)))
    sent = 0
    async with asyncio.timeout(60):
        while connection.enqueue(payload):
            sent += len(payload)
            await asyncio.sleep(0)

    assert connection.closed
    assert sent >= QUEUE_BYTES - len(payload)
    here = await server.control(device)
    await here.send(encode(Send(new_uid(), second.uid, b"x")))
    assert isinstance(await receive(there), Deliver)
    async with asyncio.timeout(20):
        while server.router.registry.newest(gateway.uid) is not None:
            await asyncio.sleep(0.01)


async def test_a_flood_is_limited_for_the_flooder_alone(server: RouterServer) -> None:
    """Past its allowance a device is told to slow down; another one gets through."""
    device, gateway = joined(server)
    calm = server.gate.device()
    server.gate.allow(calm, gateway)
    there, here = await server.control(gateway), await server.control(device)
    other = await server.control(calm)
    conversation = new_uid()
    for _ in range(2 * int(SENDS_BURST)):
        await here.send(encode(Send(conversation, gateway.uid, b"x")))
    answer = await receive(here)
    assert isinstance(answer, Undeliverable)
    assert answer.code == Code.TOO_MANY_REQUESTS

    await other.send(encode(Send(new_uid(), gateway.uid, b"calm")))

    while True:
        message = await receive(there)
        assert isinstance(message, Deliver)
        if message.sender == calm.uid:
            break
