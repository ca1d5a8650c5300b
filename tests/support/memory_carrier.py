"""Carries bytes of attachments to and from a `MemoryServer`, in small pieces."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from commander.errors import Unreachable
from commander.plugin.attachments import Carrier, Carriers
from commander.wire.known_server import KnownServer
from tests.support.memory_server import MemoryServer

PIECE = 7


class MemoryCarrier:
    """Fits `commander.plugin.attachments.Carrier`; fails after `breaks_after` bytes of an upload."""

    def __init__(self, server: MemoryServer, breaks_after: int = 2**40) -> None:
        self._server = server
        self.breaks_after = breaks_after

    async def upload(self, place: str, pieces: AsyncIterator[bytes], *, size: int) -> None:
        """Keep the bytes once all have come."""
        data = b""
        async for piece in pieces:
            data += piece
            if len(data) > self.breaks_after:
                raise Unreachable("the connection broke")
        assert len(data) == size, "what was announced comes"
        self._server.bytes[place.rpartition("/")[2]] = data

    async def download(self, place: str, *, size: int) -> AsyncIterator[bytes]:
        """Small pieces."""
        data = self._server.bytes[place.rpartition("/")[2]]
        for at in range(0, len(data), PIECE):
            yield data[at : at + PIECE]


class MemoryCarriers(Carriers):
    """Puts a `MemoryCarrier` where commands open a carrier."""

    def __init__(self, carrier: MemoryCarrier) -> None:
        self.carrier = carrier

    @asynccontextmanager
    async def open(self, server: KnownServer) -> AsyncIterator[Carrier]:
        """The one it was made with."""
        yield self.carrier
