"""Who is let through the TLS handshake when many come at once, and who does not stand in the way."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from socket import create_server
from typing import Any

import pytest

from commander.router.admission import Admission
from tests.support.relay_streams import Authority

pytestmark = pytest.mark.integration
Silent = asyncio.StreamWriter


def client_hello() -> bytes:
    """What a client says first."""
    said = ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), said, server_hostname="x")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return said.read()


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

    async def hesitant(self, count: int) -> list[Silent]:
        """Connections that say a ClientHello, and nothing more."""
        writers = await self.silent(count)
        for writer in writers:
            writer.write(client_hello())
        return writers

    async def cut(self, reader: asyncio.StreamReader) -> None:
        """Wait until the server has cut a connection that it had not answered."""
        with contextlib.suppress(ConnectionResetError):
            async with asyncio.timeout(60):
                assert await reader.read(1) == b""

    async def connect(self) -> tuple[asyncio.StreamReader, Silent]:
        """A connection, nothing said."""
        return await asyncio.open_connection("127.0.0.1", self._port)

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
async def door(*, at_once: int, hold_s: float, **limits: Any) -> AsyncIterator[Door]:
    authority = Authority("http/1.1")
    with create_server(("127.0.0.1", 0), backlog=128) as listener:
        admission = Admission(
            listener, Greeting, authority.server, at_once=at_once, hold_s=hold_s, **limits
        )
        admission.start()
        yield Door(admission, listener.getsockname()[1], authority)
        admission.close()
        await admission.wait_closed()


async def test_only_so_many_are_begun_with_at_once() -> None:
    """The others wait unseen, and each one that leaves lets one in."""
    async with door(at_once=3, hold_s=600.0) as found:
        silent = await found.hesitant(8)
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


async def test_who_says_nothing_more_is_not_in_the_way_for_long() -> None:
    """More of those who say a ClientHello than turns: an honest one behind them gets in."""
    async with door(at_once=2, hold_s=0.05) as found:
        silent = await found.hesitant(7)

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
        (writer,) = await found.hesitant(1)
        await found.handshakes_are(1)
        found.admission.close()
        await found.admission.wait_closed()

        assert found.admission.handshakes == 0
        writer.transport.abort()


async def test_b230_who_says_no_whole_client_hello_takes_no_turn() -> None:
    """Otherwise a hundred connections a second that say nothing shut everybody out."""
    async with door(at_once=1, hold_s=600.0) as found:
        silent = await found.silent(20)
        for size, writer in enumerate(silent):
            writer.write(client_hello()[:size])

        assert await found.honest() == b"hello"
        assert found.admission.handshakes == 0
        for writer in silent:
            writer.transport.abort()


async def test_b230_silence_has_a_deadline() -> None:
    """And the connection is gone."""
    async with door(at_once=1, hold_s=600.0, silent_s=0.1) as found:
        reader, writer = await found.connect()
        await found.cut(reader)

        assert found.admission.silent == 0
        writer.transport.abort()


async def test_the_first_silent_one_makes_room() -> None:
    """There are never more than so many; whoever has said something keeps its place."""
    async with door(at_once=1, hold_s=0.05, most_waiting=3) as found:
        first, writer = await found.connect()
        others = await found.silent(3)

        assert await found.honest() == b"hello"
        await found.cut(first)
        for other in (writer, *others):
            other.transport.abort()


async def test_when_all_have_said_something_others_wait_for_one_to_leave() -> None:
    """In the kernel's queue."""
    async with door(at_once=2, hold_s=600.0, most_waiting=2) as found:
        hesitant = await found.hesitant(2)
        await found.handshakes_are(2)
        honest = asyncio.ensure_future(found.honest())
        hesitant[0].transport.abort()

        assert await honest == b"hello"
        hesitant[1].transport.abort()


async def test_a_client_hello_may_come_byte_by_byte() -> None:
    """It is heard once it is whole; one that ends before is cut, and costs nothing until then."""
    async with door(at_once=1, hold_s=600.0) as found:
        reader, writer = await found.connect()
        for byte in client_hello():
            writer.write(bytes([byte]))
            await asyncio.sleep(0)
        await found.handshakes_are(1)
        writer.transport.abort()
        await found.handshakes_are(0)

        for said in (client_hello()[:3], client_hello()[:50]):
            reader, writer = await found.connect()
            writer.write(said)
            writer.write_eof()
            await found.cut(reader)
            writer.transport.abort()


async def test_a_record_longer_than_any_is_cut() -> None:
    """Before it is waited for."""
    async with door(at_once=1, hold_s=600.0) as found:
        reader, writer = await found.connect()
        writer.write(b"\x16\x03\x01\xff\xff")
        await found.cut(reader)
        writer.transport.abort()


async def test_who_waits_for_a_turn_is_cut_by_a_close() -> None:
    """Also when its turn has never come."""
    async with door(at_once=1, hold_s=600.0) as found:
        (begun,) = await found.hesitant(1)
        await found.handshakes_are(1)
        reader, writer = await found.connect()
        writer.write(client_hello())
        while len(found.admission._greeting) < 2:
            await asyncio.sleep(0.01)
        found.admission.close()
        await found.cut(reader)
        for other in (begun, writer):
            other.transport.abort()
