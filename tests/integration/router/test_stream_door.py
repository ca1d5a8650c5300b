"""One port for HTTP, WebSockets and relay streams, told apart in the TLS handshake."""

from __future__ import annotations

import asyncio
import socket
import ssl

import pytest

from commander.router.stream_door import open_relay_port
from commander.wire.relay import ALPN, RelayAnswer, read_answer
from tests.support.relay_streams import Authority, prefix, stream_paths
from tests.support.router_server import router_server

pytestmark = pytest.mark.integration


async def answer_to(
    port: int, context: ssl.SSLContext, data: bytes, protocols: list[str]
) -> tuple[str | None, bytes]:
    """Which protocol was chosen, and what is answered to the first bytes."""
    if protocols:
        context.set_alpn_protocols(protocols)
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=context, server_hostname="localhost"
    )
    try:
        writer.write(data)
        async with asyncio.timeout(20):
            answer = await reader.read(200)
        return writer.get_extra_info("ssl_object").selected_alpn_protocol(), answer
    finally:
        writer.transport.abort()


async def test_the_handshake_decides_what_a_connection_is() -> None:
    """Who names the relay gets it; who names HTTP, or nothing, gets HTTP as ever."""
    authority = Authority(ALPN, "http/1.1")

    def trust() -> ssl.SSLContext:
        return ssl.create_default_context(cadata=authority.pem)

    async with router_server(tls=authority.server, trust=authority.client) as server:
        device, _, conversation = await server.introduce()
        signed = prefix(server, device, conversation)
        chosen, answer = await answer_to(server.port, trust(), signed, [ALPN, "http/1.1"])
        assert chosen == ALPN
        assert read_answer(answer) == (RelayAnswer(0), 4)
        request = b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n"
        for protocols, expected in ((["http/1.1"], "http/1.1"), ([], None)):
            chosen, answer = await answer_to(server.port, trust(), request, protocols)
            assert chosen == expected
            assert answer.startswith(b"HTTP/1.1 404")
        # The relay chosen, but HTTP spoken: a stranger like any other.
        assert (await answer_to(server.port, trust(), request, [ALPN]))[1] == b""


async def test_a_relay_port_may_end_tls_itself() -> None:
    """For a program in front that only looks at the handshake and passes it on."""
    authority = Authority(ALPN)
    async with router_server() as server:
        device, _, conversation = await server.introduce()
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        running = await open_relay_port(listener, server.router.accept_stream, authority.server)
        signed = prefix(server, device, conversation)
        assert read_answer((await answer_to(port, authority.client, signed, [ALPN]))[1]) == (
            RelayAnswer(0),
            4,
        )
        running.close()
        assert listener.fileno() == -1


async def test_paths_through_tls_are_cut_by_a_closing_router() -> None:
    """The router's end reaches both, whatever carries the bytes."""
    async with stream_paths(tls=True) as (one, two):
        await one.close()
        await two.close()
