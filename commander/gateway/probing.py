"""
The far end of a probe tunnel: the gateway itself, so that a path is measured without its target.

    stream = b"E" bytes...           sends back what it gets
           | b"D" bytes... EOF       counts, then answers with the count, 8 bytes big-endian
           | b"S" count              sends that many zero bytes

A tunnel of this kind is judged, limited and audited as any other. It carries a bounded number of
bytes, lives for seconds, and reaches nothing.
"""

from __future__ import annotations

import asyncio
import logging

from commander import tasks
from commander.gateway.limits import PROBE_BYTES, PROBE_TUNNEL_S
from commander.gateway.targets import Target
from commander.tunnel.codes import CloseCode, ResetCode, StreamRefused
from commander.tunnel.engine import TunnelEnd
from commander.tunnel.stream_pair import open_pair
from commander.tunnel.target import MakeProtocol

_log = logging.getLogger(__name__)
MAX_STREAMS = 8
CHUNK = 64 * 1024
COUNT_BYTES = 8
TARGET = Target("probe", 0)
"""What audit names as the target of a probe; no record can name it, for want of a port."""


class ProbeEnd:
    """Serves the streams of one probe tunnel; fits `tunnel.target.Connect`."""

    def __init__(self, *, most_bytes: int = PROBE_BYTES, most_s: float = PROBE_TUNNEL_S) -> None:
        self.target = TARGET
        self._left = most_bytes
        self._most_s = most_s
        self._streams = 0

    def bound(self, end: TunnelEnd) -> None:
        """End the tunnel when its time is over."""
        asyncio.get_running_loop().call_later(self._most_s, self._end, end)

    def _end(self, end: TunnelEnd) -> None:
        if not end.closed.done():
            work = end.close(CloseCode.LIMIT, f"a probe lasts at most {self._most_s:g} s")
            tasks.spawn(work, name="probe-end")

    async def __call__(self, meta: bytes, make_protocol: MakeProtocol) -> None:
        """Give a stream its far end. Raises StreamRefused past the bound."""
        if self._streams >= MAX_STREAMS:
            raise StreamRefused(ResetCode.TOO_MANY_STREAMS, "a probe has few streams")
        self._streams += 1
        try:
            reader, writer = await open_pair(make_protocol)
        except BaseException:
            self._streams -= 1
            raise
        tasks.spawn(self._serve(reader, writer), name="probe-stream")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(self._most_s):
                await self._talk(reader, writer)
                writer.close()
                await writer.wait_closed()
        except (OSError, asyncio.IncompleteReadError, TimeoutError, _Spent):
            _log.debug("a stream of a probe was given up")
        finally:
            # Nothing once it was closed in order.
            writer.transport.abort()
            self._streams -= 1

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        match await reader.readexactly(1):
            case b"E":
                while data := await self._read(reader):
                    self._spend(len(data))
                    writer.write(data)
                    await writer.drain()
            case b"D":
                count = 0
                while data := await self._read(reader):
                    count += len(data)
                writer.write(count.to_bytes(COUNT_BYTES, "big"))
                await writer.drain()
            case b"S":
                await self._send(writer, int.from_bytes(await reader.readexactly(COUNT_BYTES)))
            case _:
                raise _Spent

    async def _read(self, reader: asyncio.StreamReader) -> bytes:
        data = await reader.read(CHUNK)
        self._spend(len(data))
        return data

    async def _send(self, writer: asyncio.StreamWriter, count: int) -> None:
        zeros = bytes(CHUNK)
        while count > 0:
            part = zeros[:count] if count < CHUNK else zeros
            self._spend(len(part))
            writer.write(part)
            await writer.drain()
            count -= len(part)

    def _spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise _Spent


class _Spent(Exception):
    """The probe asked for more than it may, or for what there is not: its stream is reset."""
