"""TLS connections share one receive buffer: less memory, the same bytes."""

from __future__ import annotations

import subprocess
import sys

import pytest

from commander.launch.tls_buffers import share_tls_buffers

pytestmark = pytest.mark.integration

# Connections between two ends in one process; each sends its own bytes, all at once, then all rest.
_PROGRAM = """
import asyncio, ssl, sys
import trustme
from commander.launch.tls_buffers import share_tls_buffers

COUNT, SIZE = 40, 700_000

def memory():
    with open("/proc/self/status") as status:
        return int(next(line for line in status if line.startswith("VmRSS")).split()[1])

async def main():
    authority = trustme.CA()
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server_side)
    client_side = ssl.create_default_context()
    authority.configure_trust(client_side)

    async def echo(reader, writer):
        while data := await reader.read(100_000):
            writer.write(data)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=server_side)
    port = server.sockets[0].getsockname()[1]
    opened = []

    async def connect():
        return await asyncio.open_connection(
            "127.0.0.1", port, ssl=client_side, server_hostname="localhost", limit=4096
        )

    opened.append(await connect())
    before = memory()
    for _ in range(COUNT):
        opened.append(await connect())
    print((memory() - before) // COUNT)

    async def carry(number, reader, writer):
        data = bytes([number]) * SIZE
        writer.write(data)
        assert await reader.readexactly(SIZE) == data

    await asyncio.gather(*(carry(n, *pair) for n, pair in enumerate(opened)))
    for _, writer in opened:
        writer.close()
    server.close()

if sys.argv[1] == "share":
    assert share_tls_buffers()
asyncio.run(main())
"""


def kib_of_a_connection(mode: str) -> int:
    """Memory that both ends of an idle connection take together."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, mode],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return int(done.stdout)


def test_idle_connections_hold_no_buffer_of_their_own() -> None:
    """Both ends together save more than 300 KiB; interleaved transfers arrive unharmed."""
    assert kib_of_a_connection("share") + 300 < kib_of_a_connection("leave")


class Changed:
    """A TLS protocol of some later Python that hands its buffer on instead of copying from it."""

    max_size = 256 * 1024

    def __init__(self) -> None:
        self._ssl_buffer = bytearray(self.max_size)
        self._ssl_buffer_view = memoryview(self._ssl_buffer)

    def buffer_updated(self, count: int) -> memoryview:
        """Keep what came for later."""
        return self._ssl_buffer_view[:count]


def test_a_protocol_that_works_otherwise_is_left_alone() -> None:
    """Two connections whose bytes wait in the buffer must not share one."""
    assert not share_tls_buffers(Changed)

    assert Changed()._ssl_buffer is not Changed()._ssl_buffer
