"""Connections that ask for nothing."""

from __future__ import annotations

import asyncio

import pytest

from commander.api.tls import verified_context
from commander.backend.http import protocol
from commander.wire.known_server import split_address
from tests.support.backend_server import BackendServer

pytestmark = pytest.mark.integration

HEALTH = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"


async def connect(
    server: BackendServer,
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = split_address(server.known.address)
    return await asyncio.open_connection(host, port, ssl=verified_context(server.known.ca))


async def drip(writer: asyncio.StreamWriter, closed: asyncio.Event) -> None:
    """Send a header byte by byte, for ever."""
    writer.write(b"GET /health HTTP/1.1\r\nX: ")
    while not closed.is_set():
        writer.write(b"y")
        await asyncio.sleep(0.02)


async def is_cut_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Whether the server ends a connection whose header never ends."""
    closed = asyncio.Event()
    dripping = asyncio.ensure_future(drip(writer, closed))
    try:
        return await asyncio.wait_for(reader.read(1), 30) == b""
    except ConnectionError:
        return True
    finally:
        closed.set()
        await asyncio.gather(dripping, return_exceptions=True)
        writer.close()


@pytest.mark.parametrize("after_a_request", [False, True])
async def test_header_that_never_ends_is_cut_off(
    server: BackendServer, monkeypatch: pytest.MonkeyPatch, after_a_request: bool
) -> None:
    """As the first request of a connection, and after a good one."""
    monkeypatch.setattr(protocol, "HEADERS_S", 2.0)
    reader, writer = await connect(server)
    if after_a_request:
        writer.write(HEALTH)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        assert (await reader.readexactly(length)).startswith(b"{")

    assert await is_cut_off(reader, writer)


async def test_silent_connection_is_cut_off(
    server: BackendServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even before it says anything."""
    monkeypatch.setattr(protocol, "HEADERS_S", 0.3)
    reader, writer = await connect(server)

    assert await asyncio.wait_for(reader.read(1), 30) == b""
    writer.close()
