"""What the kernel has counted of a TCP connection (Linux, `TCP_INFO`)."""

from __future__ import annotations

import socket
import struct
from typing import Final

from commander.tunnel.narrow import TcpCounts

# linux/tcp.h, struct tcp_info; later kernels only append. Round trips in microseconds.
_RTT: Final = 68
_REPEATED: Final = 100
_LEAST_RTT: Final = 148
_OUT_OF_ORDER: Final = 224
_BYTES: Final = _OUT_OF_ORDER + 4
_U32: Final = struct.Struct("@I")
_SEGMENTS: Final = struct.Struct("@II")


def tcp_counts(connection: socket.socket) -> TcpCounts | None:
    """The counts so far; None where the system does not tell them."""
    option = getattr(socket, "TCP_INFO", None)
    if option is None:
        return None
    try:
        found = connection.getsockopt(socket.IPPROTO_TCP, option, _BYTES)
    except OSError:
        return None
    return parse_counts(found)


def parse_counts(found: bytes) -> TcpCounts | None:
    """Read a `tcp_info`; None for that of a kernel before 5.4, or of another system."""
    if len(found) < _BYTES:
        return None
    segments_in, segments_out = _SEGMENTS.unpack_from(found, _LEAST_RTT + 4)
    return TcpCounts(
        sent=segments_out,
        repeated=_at(found, _REPEATED),
        received=segments_in,
        out_of_order=_at(found, _OUT_OF_ORDER),
        rtt_s=_at(found, _RTT) / 1e6,
        least_rtt_s=_at(found, _LEAST_RTT) / 1e6,
    )


def _at(found: bytes, offset: int) -> int:
    number: int = _U32.unpack_from(found, offset)[0]
    return number
