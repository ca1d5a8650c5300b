"""
The frames of a tunnel: what a sealed message holds once it is opened. Pure.

    message = version u8 (1) | frame | frame | ...          at least one frame

    OPEN     01 | stream u32 | length u16 | meta            meta <= 4 KiB, opaque here
    OPENED   02 | stream u32                                the target is connected
    DATA     03 | stream u32 | offset u64 | length u32 | bytes    length >= 1
    EOF      04 | stream u32 | offset u64                   no byte follows; offset = bytes sent
    RESET    05 | stream u32 | code u16 | length u16 | reason     reason <= 256, printable UTF-8
    CREDIT   06 | stream u32 | max offset u64               the peer may send up to this offset
    ACK      07 | stream u32 | received u64                 bytes received; + 1 once EOF is
    PING     08 | token u64
    PONG     09 | token u64
    ABANDON  0a | generation u16                            the sender dropped that link
    CLOSE    0b | code u16 | length u16 | reason
    PROGRESS 0c | received u64                              bytes of this generation's messages
    PREFER   0d | generation u16                            send on that link and its group
    BYE      0e                                             the last message on this link

All numbers are big-endian. Offsets count the bytes of one direction of one stream from 0
and stay below 2^62. ACK counts the end of a direction as one more byte, as TCP counts its
FIN, so that one number tells all. PING, PONG, PROGRESS and BYE speak of the link they come
on; all else means the same on whichever link it comes, also when it comes twice.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from commander.tunnel.codes import ProtocolViolation

VERSION: Final = 1
VERSION_BYTE: Final = bytes([VERSION])
MAX_META_BYTES: Final = 4096
MAX_REASON_BYTES: Final = 256
MAX_FRAMES: Final = 4096
"""Frames in one message; bounds the events that one message can cause."""
MAX_OFFSET: Final = (1 << 62) - 1
MAX_STREAM: Final = (1 << 32) - 1

Bytes = bytes | bytearray | memoryview


class Open(NamedTuple):
    """Ask for a new stream; `meta` tells the far end what to connect to."""

    stream: int
    meta: bytes


class Opened(NamedTuple):
    """The far end of the stream is connected."""

    stream: int


class Data(NamedTuple):
    """Bytes of a stream; after parsing `data` is a view into the message."""

    stream: int
    offset: int
    data: Bytes


class Eof(NamedTuple):
    """The sender's direction is complete at this offset."""

    stream: int
    offset: int


class Reset(NamedTuple):
    """The stream ends now, both ways, whatever was on its way."""

    stream: int
    code: int
    reason: str


class Credit(NamedTuple):
    """The receiver of this frame may send up to `max_offset`."""

    stream: int
    max_offset: int


class Ack(NamedTuple):
    """Bytes received so far, one more once EOF is; the sender need not keep them longer."""

    stream: int
    received: int


class Ping(NamedTuple):
    """Answer with a Pong of the same token, at once."""

    token: int


class Pong(NamedTuple):
    """Answer to a Ping."""

    token: int


class Abandon(NamedTuple):
    """The sender has dropped a link: what was not confirmed there must be sent again."""

    generation: int


class Close(NamedTuple):
    """The tunnel ends now, with all its streams."""

    code: int
    reason: str


class Progress(NamedTuple):
    """Bytes of sealed messages received on this link: confirms them, and bounds what is in flight."""

    received: int


class Prefer(NamedTuple):
    """Clients only: send on this link and those of its group from now on."""

    generation: int


class Bye(NamedTuple):
    """Nothing follows on this link; its group is being replaced."""


Frame = (
    Open
    | Opened
    | Data
    | Eof
    | Reset
    | Credit
    | Ack
    | Ping
    | Pong
    | Abandon
    | Close
    | Progress
    | Prefer
    | Bye
)

_KIND_OPEN, _KIND_OPENED, KIND_DATA, KIND_EOF, _KIND_RESET, _KIND_CREDIT = range(1, 7)
_KIND_ACK, _KIND_PING, _KIND_PONG, _KIND_ABANDON, _KIND_CLOSE, _KIND_PROGRESS = range(7, 13)
_KIND_PREFER, _KIND_BYE = range(13, 15)

STREAM_CONTROL: Final = frozenset({_KIND_OPEN, _KIND_OPENED, _KIND_RESET, _KIND_ACK})
"""
First bytes of frames that a stream can't do without: sent again when their link was lost.

An ACK among control frames is that of a stream's end, which nothing would tell again.
"""

_KIND_STREAM = struct.Struct(">BI")
_KIND_STREAM_U16 = struct.Struct(">BIH")
_KIND_STREAM_U64 = struct.Struct(">BIQ")
_KIND_STREAM_U64_U32 = struct.Struct(">BIQI")
_KIND_STREAM_U16_U16 = struct.Struct(">BIHH")
_KIND_U64 = struct.Struct(">BQ")
_KIND_U16_U16 = struct.Struct(">BHH")
_KIND_U16 = struct.Struct(">BH")

_KIND_OF: Final[dict[type[Frame], int]] = {
    Eof: KIND_EOF,
    Credit: _KIND_CREDIT,
    Ack: _KIND_ACK,
    Ping: _KIND_PING,
    Pong: _KIND_PONG,
    Progress: _KIND_PROGRESS,
    Abandon: _KIND_ABANDON,
    Prefer: _KIND_PREFER,
}

DATA_HEADER_BYTES: Final = _KIND_STREAM_U64_U32.size


# --- out -----------------------------------------------------------------------------------


def data_header(stream: int, offset: int, length: int) -> bytes:
    """What goes before the bytes of a DATA frame; apart, so that bulk bytes are copied once."""
    return _KIND_STREAM_U64_U32.pack(KIND_DATA, stream, offset, length)


def clip_reason(reason: str) -> str:
    """Make any text fit for a RESET or CLOSE: printable and at most 256 bytes."""
    text = "".join(char if char.isprintable() else "?" for char in reason[:MAX_REASON_BYTES])
    raw = text.encode("utf-8", "replace")
    return raw[:MAX_REASON_BYTES].decode("utf-8", "ignore")


def serialize(frame: Frame) -> bytes:
    """Write one frame. The caller keeps the limits; `clip_reason` makes reasons fit."""
    match frame:
        case Open(stream, meta):
            return _KIND_STREAM_U16.pack(_KIND_OPEN, stream, len(meta)) + meta
        case Data(stream, offset, data):
            return data_header(stream, offset, len(data)) + data
        case Reset(stream, code, reason):
            text = reason.encode()
            return _KIND_STREAM_U16_U16.pack(_KIND_RESET, stream, code, len(text)) + text
        case Close(code, reason):
            text = reason.encode()
            return _KIND_U16_U16.pack(_KIND_CLOSE, code, len(text)) + text
        case Abandon(generation) | Prefer(generation):
            return _KIND_U16.pack(_KIND_OF[type(frame)], generation)
        case Bye():
            return bytes([_KIND_BYE])
        case Opened(stream):
            return _KIND_STREAM.pack(_KIND_OPENED, stream)
        case _:
            return _serialize_numbers(frame)


def _serialize_numbers(frame: Eof | Credit | Ack | Ping | Pong | Progress) -> bytes:
    if isinstance(frame, Ping | Pong | Progress):
        return _KIND_U64.pack(_KIND_OF[type(frame)], *frame)
    return _KIND_STREAM_U64.pack(_KIND_OF[type(frame)], *frame)


def message_of(frames: Iterable[Frame]) -> bytes:
    """Write one whole message; the mux builds its own, this is for all else."""
    return VERSION_BYTE + b"".join(serialize(frame) for frame in frames)


# --- in ------------------------------------------------------------------------------------


def parse(message: bytes) -> list[Frame]:
    """
    Read all frames of one opened message; the only error is ProtocolViolation.

    The data of DATA frames are views into `message`: copy them before it changes.
    """
    if len(message) < 2 or message[0] != VERSION:
        raise ProtocolViolation("a message has another version, or no frame")
    view = memoryview(message)
    position = 1
    frames: list[Frame] = []
    while position < len(view):
        reader = _READERS.get(view[position])
        if reader is None or len(frames) >= MAX_FRAMES:
            raise ProtocolViolation("a message holds an unknown frame kind, or too many frames")
        try:
            frame, position = reader(view, position)
        except struct.error:
            raise ProtocolViolation("a frame is cut short") from None
        frames.append(frame)
    return frames


def _stream(number: int) -> int:
    if number == 0:
        raise ProtocolViolation("stream 0 does not exist")
    return number


def _offset(number: int) -> int:
    if number > MAX_OFFSET:
        raise ProtocolViolation("an offset is out of range")
    return number


def _take(view: memoryview, start: int, length: int, limit: int) -> tuple[memoryview, int]:
    end = start + length
    if length > limit or end > len(view):
        raise ProtocolViolation("the length of a frame is over its limit or its message")
    return view[start:end], end


def _reason(raw: memoryview) -> str:
    try:
        text = str(raw, "utf-8")
    except UnicodeDecodeError:
        raise ProtocolViolation("a reason is not UTF-8") from None
    # Reasons reach terminals and logs: no escapes, no line breaks.
    if not text.isprintable():
        raise ProtocolViolation("a reason holds control characters")
    return text


def _read_open(view: memoryview, at: int) -> tuple[Frame, int]:
    _, stream, length = _KIND_STREAM_U16.unpack_from(view, at)
    meta, end = _take(view, at + _KIND_STREAM_U16.size, length, MAX_META_BYTES)
    return Open(_stream(stream), bytes(meta)), end


def _read_opened(view: memoryview, at: int) -> tuple[Frame, int]:
    _, stream = _KIND_STREAM.unpack_from(view, at)
    return Opened(_stream(stream)), at + _KIND_STREAM.size


def _read_data(view: memoryview, at: int) -> tuple[Frame, int]:
    _, stream, offset, length = _KIND_STREAM_U64_U32.unpack_from(view, at)
    start = at + DATA_HEADER_BYTES
    end = start + length
    if length == 0 or end > len(view):
        raise ProtocolViolation("a data frame is empty, or longer than its message")
    if stream == 0 or offset > MAX_OFFSET:
        raise ProtocolViolation("a data frame is of no stream, or its offset is out of range")
    return Data(stream, offset, view[start:end]), end


def _read_reset(view: memoryview, at: int) -> tuple[Frame, int]:
    _, stream, code, length = _KIND_STREAM_U16_U16.unpack_from(view, at)
    raw, end = _take(view, at + _KIND_STREAM_U16_U16.size, length, MAX_REASON_BYTES)
    return Reset(_stream(stream), code, _reason(raw)), end


def _read_close(view: memoryview, at: int) -> tuple[Frame, int]:
    _, code, length = _KIND_U16_U16.unpack_from(view, at)
    raw, end = _take(view, at + _KIND_U16_U16.size, length, MAX_REASON_BYTES)
    return Close(code, _reason(raw)), end


def _read_bye(view: memoryview, at: int) -> tuple[Frame, int]:
    return Bye(), at + 1


def _generation(kind: type[Abandon] | type[Prefer]) -> Reader:
    def read(view: memoryview, at: int) -> tuple[Frame, int]:
        _, number = _KIND_U16.unpack_from(view, at)
        return kind(number), at + _KIND_U16.size

    return read


def _stream_number(kind: type[Eof] | type[Credit] | type[Ack]) -> Reader:
    def read(view: memoryview, at: int) -> tuple[Frame, int]:
        _, stream, number = _KIND_STREAM_U64.unpack_from(view, at)
        return kind(_stream(stream), _offset(number)), at + _KIND_STREAM_U64.size

    return read


def _number(kind: type[Ping] | type[Pong] | type[Progress]) -> Reader:
    def read(view: memoryview, at: int) -> tuple[Frame, int]:
        _, number = _KIND_U64.unpack_from(view, at)
        return kind(number), at + _KIND_U64.size

    return read


Reader = Callable[[memoryview, int], tuple[Frame, int]]

_READERS: dict[int, Reader] = {
    _KIND_OPEN: _read_open,
    _KIND_OPENED: _read_opened,
    KIND_DATA: _read_data,
    KIND_EOF: _stream_number(Eof),
    _KIND_RESET: _read_reset,
    _KIND_CREDIT: _stream_number(Credit),
    _KIND_ACK: _stream_number(Ack),
    _KIND_PING: _number(Ping),
    _KIND_PONG: _number(Pong),
    _KIND_ABANDON: _generation(Abandon),
    _KIND_CLOSE: _read_close,
    _KIND_PROGRESS: _number(Progress),
    _KIND_PREFER: _generation(Prefer),
    _KIND_BYE: _read_bye,
}
