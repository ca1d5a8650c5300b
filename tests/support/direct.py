"""Direct paths in one loop: connected socket pairs, whole attempts, and strangers at a port."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from commander.tunnel.transports import direct
from commander.tunnel.transports.carrier_socket import tune
from commander.tunnel.transports.direct import DirectAttempt, DirectOffering
from commander.tunnel.transports.direct_path import DirectPath
from commander.tunnel.transports.direct_reception import Reception


def connected() -> tuple[socket.socket, socket.socket]:
    """Two ends of one TCP connection on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = socket.create_connection(listener.getsockname())
        two, _ = listener.accept()
    return one, two


async def direct_paths() -> tuple[DirectPath, DirectPath]:
    """Two ends of one direct path."""
    ends = connected()
    for end in ends:
        end.setblocking(False)
        tune(end)
    return DirectPath(ends[0]), DirectPath(ends[1])


@asynccontextmanager
async def attempt(
    *, reception: Reception | None = None
) -> AsyncIterator[tuple[DirectOffering, DirectAttempt]]:
    """A client's offer on this host and a gateway's answer to it."""
    offering = direct.offer()
    port = reception.port if reception is not None else 0
    answering = direct.answer(
        offering.wire, reception=reception, advertised=("127.0.0.1", port), permit=lambda: True
    )
    try:
        yield offering, answering
    finally:
        await offering.close()
        await answering.close()


async def all_paths(
    offering: DirectOffering, answering: DirectAttempt
) -> list[tuple[DirectPath, DirectPath]]:
    """Every carrier's path at both ends."""
    offering.answered(answering.wire)
    numbers = range(direct.COUNT)
    clients = asyncio.gather(*(offering.path(number) for number in numbers))
    gateways = asyncio.gather(*(answering.path(number) for number in numbers))
    return list(zip(await clients, await gateways, strict=True))


async def is_closed(stranger: socket.socket) -> bool:
    """Read until the other end closes; whether it ever said anything."""
    loop = asyncio.get_running_loop()
    stranger.setblocking(False)
    try:
        async with asyncio.timeout(20):
            return await loop.sock_recv(stranger, 100) == b""
    except ConnectionError:
        return True


async def stranger_at(port: int, data: bytes = b"", host: str = "127.0.0.1") -> socket.socket:
    """Connect as anybody may, and say something."""
    loop = asyncio.get_running_loop()
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    stranger = socket.socket(family, socket.SOCK_STREAM)
    stranger.setblocking(False)
    try:
        await loop.sock_connect(stranger, (host, port))
        if data:
            await loop.sock_sendall(stranger, data)
    except BaseException:
        stranger.close()
        raise
    return stranger
