"""Bodies that are too long, lie about their length, or never end."""

from __future__ import annotations

import asyncio
import resource

import pytest

from commander.api.tls import verified_context
from commander.backend.limits import SMALL_BODY
from commander.wire import calls
from commander.wire.known_server import split_address
from tests.support.backend_server import BackendServer, Person

pytestmark = pytest.mark.integration

GIGABYTE = 1024**3
PIECE = 256 * 1024


class Raw:
    """A TLS connection that sends what it likes."""

    def __init__(self, server: BackendServer) -> None:
        self._server = server

    async def __aenter__(self) -> Raw:
        host, port = split_address(self._server.known.address)
        self.reader, self.writer = await asyncio.open_connection(
            host, port, ssl=verified_context(self._server.known.ca)
        )
        return self

    async def __aexit__(self, *error: object) -> None:
        self.writer.close()

    async def post(self, path: str, *headers: str) -> None:
        lines = [f"POST {path} HTTP/1.1", "Host: x", *headers, "", ""]
        self.writer.write("\r\n".join(lines).encode())
        await self.writer.drain()

    async def status(self) -> int:
        line = await asyncio.wait_for(self.reader.readline(), 30)
        return int(line.split()[1]) if line else 0


async def test_declared_gigabyte_is_refused_unread(server: BackendServer) -> None:
    """The answer comes before any of the body."""
    async with Raw(server) as raw:
        await raw.post("/api/v1/commit", f"Content-Length: {GIGABYTE}")

        assert await raw.status() == 413


async def test_endless_chunks_are_cut_off_at_the_limit(server: BackendServer) -> None:
    """A chunked gigabyte ends soon after the limit, and memory stays flat."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sent = 0
    async with Raw(server) as raw:
        await raw.post("/api/v1/log", "Transfer-Encoding: chunked")
        chunk = f"{PIECE:x}\r\n".encode() + bytes(PIECE) + b"\r\n"
        try:
            while sent < GIGABYTE:
                raw.writer.write(chunk)
                await asyncio.wait_for(raw.writer.drain(), 30)
                sent += PIECE
        except (ConnectionError, TimeoutError):
            pass

    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert sent < SMALL_BODY + 64 * 1024 * 1024
    assert grown_kib < 200 * 1024


async def test_body_shorter_than_its_length_harms_nobody(
    server: BackendServer, admin: Person
) -> None:
    """The peer that gives up half-way is forgotten, with what its body took."""
    for _ in range(20):
        async with Raw(server) as raw:
            await raw.post("/api/v1/log", "Content-Length: 1000")
            raw.writer.write(b"half")
            await raw.writer.drain()

    assert (await admin.call(calls.SESSION, calls.Empty())).user == admin.user


async def test_largest_small_body_is_read_and_one_more_is_not(server: BackendServer) -> None:
    """A call's own limit counts, with some room for the envelope."""
    async with Raw(server) as raw:
        await raw.post("/api/v1/log", f"Content-Length: {SMALL_BODY}")
        raw.writer.write(bytes(SMALL_BODY))
        assert await raw.status() == 400  # read whole, and no envelope
    async with Raw(server) as raw:
        await raw.post("/api/v1/log", f"Content-Length: {SMALL_BODY * 2}")
        assert await raw.status() == 413
