"""What a hostile WebSocket peer gets from the server beneath."""

from __future__ import annotations

import asyncio

import pytest
from websockets.frames import Frame, Opcode

from commander.api.connections import KEPT_S
from commander.codec import encode
from commander.ids import new_uid
from commander.router.bounded_server import PINGS_BURST, UVICORN_OPTIONS
from commander.wire.calls import ROUTER_PATH
from commander.wire.commands import Deliver, Send
from commander.wire.requests import HEADER
from tests.support.router_server import RouterServer, closed_with, receive

pytestmark = pytest.mark.integration


def test_a_quiet_connection_outlives_its_client() -> None:
    """The client gives it up first, or a request may be on its way to a connection that ends."""
    assert UVICORN_OPTIONS["timeout_keep_alive"] >= 2 * KEPT_S


async def test_endless_empty_fragments_close_the_socket(server: RouterServer) -> None:
    """Fragments without content do not pile up."""
    socket = await server.control(server.gate.device())
    transport = socket.transport

    transport.write(Frame(Opcode.BINARY, b"", fin=False).serialize(mask=True))
    fragment = Frame(Opcode.CONT, b"", fin=False).serialize(mask=True)
    transport.write(fragment * 1000)

    assert (await closed_with(socket))[0] == 1009


async def test_compression_is_declined(server: RouterServer) -> None:
    """An offer of permessage-deflate is not taken."""
    header = server.header(server.gate.device(), ROUTER_PATH)

    socket = await server.dial(ROUTER_PATH, header, compression="deflate")

    assert socket.protocol.extensions == []


async def test_a_stream_of_small_fragments_within_bounds_passes(server: RouterServer) -> None:
    """A message in a few fragments is one message."""
    device, gateway = server.gate.device(), server.gate.gateway()
    server.gate.allow(device, gateway)
    there, here = await server.control(gateway), await server.control(device)
    raw = encode(Send(new_uid(), gateway.uid, b"in pieces"))

    await here.send([raw[at : at + 8] for at in range(0, len(raw), 8)])

    message = await receive(there)
    assert isinstance(message, Deliver)
    assert message.payload == b"in pieces"


async def test_bytes_before_the_answer_are_bounded(server: RouterServer) -> None:
    """A peer that floods while its upgrade is judged is cut off."""
    server.gate.hold.clear()
    device = server.gate.device()
    _reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(
        f"GET {ROUTER_PATH} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Protocol: commander.router.v1\r\n"
        f"{HEADER}: {server.header(device, ROUTER_PATH)}\r\n\r\n".encode()
    )
    await writer.drain()
    await server.gate.asked.wait()

    with pytest.raises(ConnectionError):
        await asyncio.wait_for(_flood(writer), 20)

    server.gate.hold.set()
    writer.close()
    with pytest.raises(ConnectionError):
        await writer.wait_closed()


async def _flood(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(bytes(64 * 1024))
        await writer.drain()


async def test_a_flood_of_pings_is_cut_while_a_few_are_answered(server: RouterServer) -> None:
    """An honest peer pings now and then; one that floods keeps nobody busy."""
    honest = await server.control(server.gate.device())
    flooding = await server.control(server.gate.device())

    for _ in range(int(PINGS_BURST)):
        await (await honest.ping())
    flooding.transport.write(Frame(Opcode.PING, b"x").serialize(mask=True) * 1000)

    assert (await closed_with(flooding))[0] == 1006
    async with asyncio.timeout(20):
        await honest.close()
    assert honest.close_code == 1000
