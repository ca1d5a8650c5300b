"""What a TCP connection needs that carries a tunnel."""

from __future__ import annotations

import contextlib
import socket
from asyncio.trsock import TransportSocket
from typing import Final

UNSENT_BYTES: Final = 64 * 1024
"""What the kernel holds unsent; more stays with us, where small frames can overtake it."""
USER_TIMEOUT_MS: Final = 20_000
"""The tunnel's heartbeat is faster; this ends a connection whose tunnel is gone."""


def tune(connection: socket.socket | TransportSocket) -> None:
    """Set what a carrier needs; what this system does not know is left out."""
    for name, value in (
        ("TCP_NODELAY", 1),
        ("TCP_NOTSENT_LOWAT", UNSENT_BYTES),
        ("TCP_USER_TIMEOUT", USER_TIMEOUT_MS),
        # Thirty times faster at 1 % loss, where the kernel has it and lets us.
        ("TCP_CONGESTION", b"bbr"),
    ):
        option = getattr(socket, name, None)
        if option is not None:
            with contextlib.suppress(OSError):
                connection.setsockopt(socket.IPPROTO_TCP, option, value)
