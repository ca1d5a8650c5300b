"""Plain requests against a TLS server that answers what a test wants."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trustme

from commander.api.connections import FAILED, NOT_SENT, TIMED_OUT, Connections, read_body
from tests.support.servers.http_proxy import HttpProxy

pytestmark = pytest.mark.integration
AUTHORITY = trustme.CA()
DEADLINE_S = 30.0


class Server:
    """Keeps the heads it got, and answers each with the same bytes; none: says nothing."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.heads: list[str] = []
        self.bodies: list[bytes] = []
        self.address = ""
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                self.heads.append(head)
                length = head.lower().partition("content-length: ")[2].partition("\r\n")[0]
                self.bodies.append(await reader.readexactly(int(length or 0)))
                writer.write(self.answer)
        except (asyncio.IncompleteReadError, OSError):
            writer.close()


@asynccontextmanager
async def serving(answer: bytes, host: str = "127.0.0.1") -> AsyncIterator[Server]:
    server = Server(answer)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert("127.0.0.1", "::1").configure_cert(context)
    listening = await asyncio.start_server(server.serve, host, 0, ssl=context)
    port = listening.sockets[0].getsockname()[1]
    server.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        yield server
    finally:
        listening.close()


def trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    return context


async def ask(
    connections: Connections,
    body: bytes | AsyncIterator[bytes] | None = b"question",
    *,
    limit: int = 100,
    step_s: float = DEADLINE_S,
    headers: dict[str, str] | None = None,
) -> tuple[int, bytes | None]:
    async with connections.request(
        "POST", "/path", headers=headers or {}, body=body, step_s=step_s
    ) as response:
        return response.status, await read_body(response, limit)


def answer(text: bytes, status: str = "200 OK", more: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\ncontent-length: {len(text)}\r\n{more}\r\n"
    return head.encode() + text


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_request_and_answer_on_one_kept_connection(host: str) -> None:
    """The host is named as it was given, brackets of IPv6 included."""
    async with serving(answer(b"yes"), host) as server:
        connections = Connections(server.address, trusting())
        found = [await ask(connections) for _ in range(3)]
        await connections.close()

    assert found == [(200, b"yes")] * 3
    assert server.bodies == [b"question"] * 3
    assert server.connections == 1
    lines = server.heads[0].lower().split("\r\n")
    assert lines[0] == "post /path http/1.1"
    assert f"host: {server.address}" in lines
    assert "accept-encoding: identity" in lines


async def test_redirects_cookies_and_encodings_are_left_as_they_are() -> None:
    """The answer is what the server sent; nothing of it comes back to the server."""
    more = "location: https://127.0.0.1:1/\r\nset-cookie: a=b\r\ncontent-encoding: gzip\r\n"
    async with serving(answer(b"not gzip", "302 Found", more)) as server:
        connections = Connections(server.address, trusting())
        found = [await ask(connections) for _ in range(2)]
        await connections.close()

    assert found == [(302, b"not gzip")] * 2
    assert all("cookie" not in head.lower() for head in server.heads)


async def test_body_in_pieces_has_the_length_it_was_said_to_have() -> None:
    """As an upload sends it."""

    async def pieces() -> AsyncIterator[bytes]:
        yield b"ab"
        yield b"cd"

    async with serving(answer(b"")) as server:
        connections = Connections(server.address, trusting())
        await ask(connections, pieces(), headers={"content-length": "4"})
        await connections.close()

    assert server.bodies == [b"abcd"]
    assert "transfer-encoding" not in server.heads[0].lower()


async def test_answer_over_the_limit_is_none_of_ours() -> None:
    """It is not read to its end, and the connection is not used again."""
    async with serving(answer(b"x" * 101)) as server:
        connections = Connections(server.address, trusting())
        assert await ask(connections) == (200, None)
        assert await ask(connections, limit=101) == (200, b"x" * 101)
        await connections.close()


async def test_silence_is_a_time_out_and_nonsense_a_failure() -> None:
    """Each of its own kind."""
    async with serving(b"") as server:
        connections = Connections(server.address, trusting())
        with pytest.raises(TIMED_OUT):
            await ask(connections, step_s=0.3)
        server.answer = b"nonsense\r\n\r\n"
        with pytest.raises(FAILED):
            await ask(connections)
        await connections.close()


async def test_what_was_never_sent_is_told_apart() -> None:
    """Nobody there, an authority that we do not trust, a proxy that refuses."""
    async with serving(answer(b"")) as server, HttpProxy() as proxy:
        proxy.refuse = True
        for connections in (
            Connections("127.0.0.1:1", trusting()),
            Connections(server.address, ssl.create_default_context()),
            Connections(server.address, trusting(), proxy=proxy.url),
        ):
            with pytest.raises(NOT_SENT):
                await ask(connections)
            await connections.close()
        assert server.heads == []


async def test_a_proxys_password_is_sent_to_the_proxy_alone() -> None:
    """Written in the address, with what an address must not hold in its escaped form."""
    async with serving(answer(b"yes")) as server, HttpProxy(credentials="ann:p@ss/w") as proxy:
        url = f"http://ann:p%40ss%2Fw@127.0.0.1:{proxy.port}"
        connections = Connections(server.address, trusting(), proxy=url)
        assert await ask(connections) == (200, b"yes")
        await connections.close()

    assert proxy.connects == [server.address]
    assert "authorization" not in server.heads[0].lower()
