from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

from commander.tunnel.codes import ResetCode, StreamRefused

MakeProtocol = Callable[[], asyncio.BaseProtocol]
Connect = Callable[[bytes, MakeProtocol], Awaitable[object]]
"""
Connects the target that a stream's meta names, and gives it the protocol of `MakeProtocol`.

Raises StreamRefused with a code, or any OSError, which `refusal_of` translates.
"""


def refusal_of(error: OSError) -> StreamRefused:
    """Say why a target cannot be connected, as the client is told."""
    if isinstance(error, ConnectionRefusedError):
        return StreamRefused(ResetCode.TARGET_REFUSED, "the target refused the connection")
    if isinstance(error, TimeoutError):
        return StreamRefused(ResetCode.TARGET_TIMED_OUT, "the target did not answer in time")
    if isinstance(error, socket.gaierror):
        return StreamRefused(ResetCode.TARGET_NAME_UNKNOWN, "the target's name is unknown")
    return StreamRefused(ResetCode.TARGET_UNREACHABLE, "the target cannot be reached")


async def connect_address(host: str, port: int, make_protocol: MakeProtocol) -> None:
    """
    Connect a TCP target; the engine bounds the time.

    Give an address that was resolved and checked before, never a name: a name could
    resolve to something else the second time.
    """
    await asyncio.get_running_loop().create_connection(make_protocol, host, port)
