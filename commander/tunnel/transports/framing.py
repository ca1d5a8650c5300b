"""
Whole messages on a stream of bytes: how direct TCP and the relay carry them. Pure.

    message = length u32 (1 to the limit of `path`) | bytes

The relay copies bytes and knows no borders, so its farewell (`wire.relay`) may cut a message short;
whoever reads looks for it in what is left at the end of the stream.
"""

from __future__ import annotations

import struct
from typing import Final

from commander.tunnel.codes import ProtocolViolation
from commander.tunnel.path import STREAM_MESSAGE_BYTES
from commander.wire.relay import FAREWELL_BYTES, find_farewell, may_be_farewell

HEADER: Final = struct.Struct(">I")
MAX_FRAME_BYTES: Final = HEADER.size + STREAM_MESSAGE_BYTES
_LARGE_BYTES: Final = 4 * 1024
"""An unfinished message of which so much is there gets a buffer of its own."""


def frame_header(size: int) -> bytes:
    """What stands before a message of this size."""
    return HEADER.pack(size)


class FrameReader:
    """
    Finds messages in a stream of bytes.

    Read into `buffer()`, then take the messages with `received(count)`; or hand in bytes with
    `feed`. Many readers may share one buffer: the views returned are good until the next read,
    and between reads only an unfinished message is kept. It has to hold two messages at least.
    The rest of a large message is read straight to its place: copied with each read, a message
    that comes in many pieces would cost the square of its size.
    """

    def __init__(self, buffer: memoryview, *, has_farewell: bool = False) -> None:
        assert len(buffer) >= 2 * MAX_FRAME_BYTES
        self._buffer = buffer
        self._rest = b""
        self._large: memoryview | None = None
        self._large_filled = 0
        self._has_farewell = has_farewell

    def buffer(self) -> memoryview:
        """Room for what comes next, behind what is left of the last read."""
        if self._large is not None:
            return self._large[self._large_filled :]
        view, rest = self._buffer, self._rest
        if not rest:
            return view
        view[: len(rest)] = rest
        return view[len(rest) :]

    def received(self, count: int) -> list[memoryview]:
        """The messages that `count` new bytes in `buffer()` complete. Raises ProtocolViolation."""
        if self._large is not None:
            return self._fill_large(self._large, count)
        return self._split(self._buffer[: len(self._rest) + count])

    def feed(self, data: bytes | memoryview) -> list[memoryview]:
        """The messages that `data` completes. Raises ProtocolViolation."""
        messages = []
        if (large := self._large) is not None:
            filled = self._large_filled
            count = min(len(large) - filled, len(data))
            large[filled : filled + count] = data[:count]
            messages = self._fill_large(large, count)
            data = data[count:]
        return messages + self._split(memoryview(self._rest + data if self._rest else data))

    def farewell(self) -> int | None:
        """The relay's close code, once what was received ends with its last word."""
        if not self._has_farewell:
            return None
        if self._large is None:
            return find_farewell(self._rest)
        filled = self._large_filled
        return find_farewell(bytes(self._large[max(0, filled - FAREWELL_BYTES) : filled]))

    def _split(self, view: memoryview) -> list[memoryview]:
        messages = []
        start, end = 0, len(view)
        while end - start >= HEADER.size:
            (size,) = HEADER.unpack_from(view, start)
            if not 0 < size <= STREAM_MESSAGE_BYTES:
                left = bytes(view[start : start + HEADER.size + FAREWELL_BYTES])
                if not (self._has_farewell and may_be_farewell(left)):
                    raise ProtocolViolation(f"a message of {size} bytes is empty or over the limit")
                break
            body = start + HEADER.size
            if end - body < size:
                if end - body >= _LARGE_BYTES:
                    self._begin_large(view[start:end], HEADER.size + size)
                    start = end
                break
            start = body + size
            messages.append(view[body:start])
        self._rest = bytes(view[start:end])
        return messages

    def _begin_large(self, begun: memoryview, size: int) -> None:
        self._large = memoryview(bytearray(size))
        self._large[: len(begun)] = begun
        self._large_filled = len(begun)

    def _fill_large(self, large: memoryview, count: int) -> list[memoryview]:
        self._large_filled += count
        if self._large_filled < len(large):
            return []
        self._large = None
        return [large[HEADER.size :]]
