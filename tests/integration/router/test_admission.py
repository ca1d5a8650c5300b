"""Who is let through the TLS handshake when many come at once, and who does not stand in the way."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from socket import create_server

import pytest

from commander.router.admission import Admission
from tests.support.relay_streams import Authority

pytestmark = pytest.mark.integration
Silent = asyncio.StreamWriter


class Greeting(asyncio.Protocol):
    """Says hello to whoever is through."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(b"hello")
        transport.close()


class Door:
    """A listening socket with an admission, and clients of it."""

    def __init__(self, admission: Admission, port: int, authority: Authority) -> None:
        self.admission = admission
        self._port = port
        self._authority = authority

    async def silent(self, count: int) -> list[Silent]:
        """Connections that say nothing."""
        return [(await asyncio.open_connection("127.0.0.1", self._port))[1] for _ in range(count)]

    async def honest(self) -> bytes:
        """What somebody hears who does the handshake."""
        context = ssl.create_default_context(cadata=self._authority.pem)
        async with asyncio.timeout(60):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", self._port, ssl=context, server_hostname="localhost"
            )
            heard = await reader.read()
        writer.transport.abort()
        return heard

    async def handshakes_are(self, count: int) -> None:
        """Wait until so many handshakes go on."""
        async with asyncio.timeout(60):
            while self.admission.handshakes != count:
                await asyncio.sleep(0.01)


@asynccontextmanager
async def door(*, at_once: int, hold_s: float) -> AsyncIterator[Door]:
    authority = Authority("http/1.1")
    with create_server(("127.0.0.1", 0), backlog=128) as listener:
        admission = Admission(listener, Greeting, authority.server, at_once=at_once, hold_s=hold_s)
        admission.start()
        yield Door(admission, listener.getsockname()[1], authority)
        admission.close()
        await admission.wait_closed()


async def test_only_so_many_are_begun_with_at_once() -> None:
    """The others wait unseen, and each one that leaves lets one in."""
    async with door(at_once=3, hold_s=600.0) as found:
        silent = await found.silent(8)
        await found.handshakes_are(3)
        honest = asyncio.ensure_future(found.honest())
        for writer in silent[:5]:
            writer.transport.abort()
            await asyncio.sleep(0.05)
            assert found.admission.handshakes <= 3
        assert not honest.done()
        silent[5].transport.abort()

        assert await honest == b"hello"
        for writer in silent[6:]:
            writer.transport.abort()


async def test_who_says_nothing_is_not_in_the_way_for_long() -> None:
    """More silent connections than turns: an honest one behind them gets in."""
    async with door(at_once=2, hold_s=0.05) as found:
        silent = await found.silent(7)

        assert await found.honest() == b"hello"
        await found.handshakes_are(7)
        for writer in silent:
            writer.transport.abort()


async def test_a_broken_handshake_gives_its_turn_back() -> None:
    """HTTP without TLS, nonsense, and an end at once; the next one gets in each time."""
    async with door(at_once=1, hold_s=600.0) as found:
        for said in (b"GET / HTTP/1.1\r\n\r\n", bytes(range(256)), b""):
            (writer,) = await found.silent(1)
            writer.write(said)
            writer.write_eof()

            assert await found.honest() == b"hello"
            writer.transport.abort()


async def test_closing_cuts_those_who_are_not_through() -> None:
    """Nobody keeps a server from its end by saying nothing."""
    async with door(at_once=2, hold_s=600.0) as found:
        (writer,) = await found.silent(1)
        await found.handshakes_are(1)
        found.admission.close()
        await found.admission.wait_closed()

        assert found.admission.handshakes == 0
        writer.transport.abort()
