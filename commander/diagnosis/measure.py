"""
Round trip and throughput of a tunnel, measured against the gateway itself (`tunnel.probe`).

What is sent is bounded in bytes and time, so that a diagnosis on a metered or busy line does no harm.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from statistics import median

from commander.codec import encode
from commander.errors import Unreachable
from commander.tunnel.engine import TunnelEnd
from commander.tunnel.stream_pair import open_pair
from commander.wire.commands import PROBE_PROGRAM, StreamMeta

ROUND_TRIPS = 9
LINE = b"commander diagnosis probe"
BULK_BYTES = 8 * 1024 * 1024
BULK_S = 1.0
FIRST_BYTES = 64 * 1024
CHUNK = 64 * 1024
COUNT_BYTES = 8
AGAIN = "try again; if it stays so, look at the gateway's log"
_Transfer = Callable[[asyncio.StreamReader, asyncio.StreamWriter, int], Awaitable[None]]


@dataclass(frozen=True)
class Measured:
    """What a path does: median round trip, and bytes a second to the gateway and back."""

    rtt_ms: float
    to_gateway: float
    from_gateway: float


async def measure(
    end: TunnelEnd, *, bulk_bytes: int = BULK_BYTES, bulk_s: float = BULK_S
) -> Measured:
    """
    Measure a probe tunnel that is up. Raises Unreachable when a stream breaks; give it a deadline.

    At most `bulk_bytes` go each way, and no new portion begins after `bulk_s`.
    """
    try:
        rtt_ms = await _round_trip_ms(end)
        to_gateway = await _rate(_send, end, bulk_bytes, bulk_s)
        from_gateway = await _rate(_receive, end, bulk_bytes, bulk_s)
    except (OSError, asyncio.IncompleteReadError) as error:
        raise Unreachable(
            f"a stream of the probe broke ({type(error).__name__})", hint=AGAIN
        ) from None
    return Measured(rtt_ms, to_gateway, from_gateway)


class _Stream:
    """One stream of the tunnel, as a program that connected to its port would hold it."""

    def __init__(self, end: TunnelEnd) -> None:
        self._end = end

    async def __aenter__(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        meta = encode(StreamMeta(PROBE_PROGRAM))
        reader, self._writer = await open_pair(lambda: self._end.pipe(meta))
        return reader, self._writer

    async def __aexit__(self, *_: object) -> None:
        self._writer.transport.abort()


async def _round_trip_ms(end: TunnelEnd) -> float:
    loop = asyncio.get_running_loop()
    took = []
    async with _Stream(end) as (reader, writer):
        writer.write(b"E")
        for _ in range(ROUND_TRIPS):
            began = loop.time()
            writer.write(LINE)
            await reader.readexactly(len(LINE))
            took.append(loop.time() - began)
    # The first one opens the stream, so the median leaves it out.
    return median(took) * 1000


async def _rate(transfer: _Transfer, end: TunnelEnd, most_bytes: int, most_s: float) -> float:
    """Bytes a second of the largest portion; portions grow until one takes a fair part of the time."""
    loop = asyncio.get_running_loop()
    began, size, best, sent = loop.time(), min(FIRST_BYTES, most_bytes), 0.0, 0
    while True:
        started = loop.time()
        async with _Stream(end) as (reader, writer):
            await transfer(reader, writer, size)
        took = max(loop.time() - started, 1e-6)
        best, sent = max(best, size / took), sent + size
        size = min(4 * size, most_bytes - sent)
        if size <= 0 or took > most_s / 4 or loop.time() - began > most_s:
            return best


async def _send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, size: int) -> None:
    writer.write(b"D")
    zeros, left = bytes(CHUNK), size
    while left > 0:
        writer.write(zeros[:left] if left < CHUNK else zeros)
        left -= CHUNK
        await writer.drain()
    writer.write_eof()
    counted = int.from_bytes(await reader.readexactly(COUNT_BYTES))
    if counted != size:
        raise Unreachable(f"the gateway counted {counted} bytes of {size}", hint=AGAIN)


async def _receive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, size: int) -> None:
    writer.write(b"S" + size.to_bytes(COUNT_BYTES, "big"))
    left = size
    while left > 0:
        data = await reader.read(CHUNK)
        if not data:
            raise Unreachable(f"the gateway sent {size - left} bytes of {size}", hint=AGAIN)
        left -= len(data)
