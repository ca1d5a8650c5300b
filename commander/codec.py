"""
Strict MessagePack for every native message and statement.

Types are frozen `msgspec.Struct`s with `forbid_unknown_fields`. What was signed travels as the
exact bytes that were signed; `decode` re-encodes and compares, so a value has one form only:
no duplicate keys, no longer integers, no trailing bytes.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from commander.errors import InvalidInput

_T = TypeVar("_T")
MESSAGE_LIMIT = 8 * 1024 * 1024
_encoder = msgspec.msgpack.Encoder()
_decoders: dict[Any, msgspec.msgpack.Decoder[Any]] = {}


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of every native message; fields are positional and by name."""


def encode(value: Any) -> bytes:
    """Write a message in its only form."""
    return _encoder.encode(value)


def decode(kind: type[_T], data: bytes, *, limit: int = MESSAGE_LIMIT) -> _T:
    """Read a message. Raises InvalidInput for anything but the one form of a valid value."""
    if len(data) > limit:
        raise InvalidInput(f"message of {len(data)} bytes is over the limit of {limit}")
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.msgpack.Decoder(kind)
    try:
        value: _T = decoder.decode(data)
        canonical = _encoder.encode(value)
    except (msgspec.MsgspecError, ValueError, RecursionError, OverflowError) as error:
        raise InvalidInput(f"message is malformed: {error}") from None
    if canonical != data:
        raise InvalidInput("message is not in its canonical form")
    return value
