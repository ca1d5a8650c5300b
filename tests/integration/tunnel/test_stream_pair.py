"""Both ends of a pair are there, or none."""

from __future__ import annotations

import asyncio
import os

import pytest

from commander.tunnel.stream_pair import open_pair

pytestmark = pytest.mark.integration


class Echo(asyncio.Protocol):
    """Sends back what comes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


async def test_what_is_written_reaches_the_protocol() -> None:
    """The caller's end talks with the protocol's."""
    reader, writer = await open_pair(Echo)

    writer.write(b"hello")

    async with asyncio.timeout(60):
        assert await reader.readexactly(5) == b"hello"
        writer.close()
        await writer.wait_closed()


async def test_a_protocol_that_cannot_be_made_leaves_nothing_open() -> None:
    """The error comes through, and both sockets are closed."""

    def broken() -> asyncio.Protocol:
        raise RuntimeError("no protocol")

    with pytest.raises(RuntimeError, match="no protocol"):
        await open_pair(broken)
    await asyncio.sleep(0)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(RuntimeError, match="no protocol"):
        await open_pair(broken)
    await asyncio.sleep(0)

    assert len(os.listdir("/proc/self/fd")) == before
