"""A stream of a tunnel held by this program itself, without a port of its own."""

from __future__ import annotations

import asyncio
import socket

from commander.tunnel.target import MakeProtocol

LIMIT = 64 * 1024


async def open_pair(
    make_protocol: MakeProtocol,
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """
    Give `make_protocol` one end of a pair of sockets, and the caller the other; abort it at the end.

    Nothing is left open when it fails or is cancelled.
    """
    near, far = socket.socketpair()
    try:
        reader, writer = await asyncio.open_connection(sock=far, limit=LIMIT)
    except BaseException:
        near.close()
        far.close()
        raise
    try:
        await asyncio.get_running_loop().create_connection(make_protocol, sock=near)
    except BaseException:
        near.close()
        writer.transport.abort()
        raise
    return reader, writer
