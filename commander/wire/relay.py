"""
How an end opens its side of a conversation's relay on a TLS connection, and what the relay says.

    prefix   = 00 "cmdrrl" | version u8 (1) | length u8 | conversation | length u16 | authorization
    answer   = version u8 (1) | status u16 (0: accepted, else as of HTTP) | length u8 | refusal code
    farewell = ff ff ff ff | "cmdr-relay" | close code u16

The authorization is the value of the header of a WebSocket upgrade on the relay's path
(`wire.requests`): either way of opening a relay needs the same proof, and uses it up. After an
answer of 0 all bytes are the ends' own, copied without a look at them; a farewell is the relay's
last word, where it can still say one.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from commander.errors import InvalidInput

ALPN: Final = "commander-relay/1"
"""Offered and chosen in the TLS handshake, on the server's one port."""
PEER_GONE: Final = 4010
"""Close code, of a WebSocket or a farewell: the other side's connection ended."""

VERSION: Final = 1
_MAGIC: Final = b"\0cmdrrl" + bytes([VERSION])
MAX_CONVERSATION: Final = 64
MAX_AUTHORIZATION: Final = 2048
PREFIX_LIMIT: Final = len(_MAGIC) + 1 + MAX_CONVERSATION + 2 + MAX_AUTHORIZATION
ANSWER_LIMIT: Final = 4 + 255
_FAREWELL: Final = struct.Struct(">I10sH")
_MARK: Final = 0xFFFFFFFF
_WORD: Final = b"cmdr-relay"
_FAREWELL_START: Final = b"\xff\xff\xff\xff" + _WORD
FAREWELL_BYTES: Final = _FAREWELL.size


@dataclass(frozen=True)
class RelayPrefix:
    """Which conversation's relay is opened, and by whom."""

    conversation: str
    authorization: str


@dataclass(frozen=True)
class RelayAnswer:
    """Accepted, or refused with a status and a code of the published table."""

    status: int
    code: str = ""


def write_prefix(prefix: RelayPrefix) -> bytes:
    """What an end sends first."""
    conversation, authorization = prefix.conversation.encode(), prefix.authorization.encode()
    return b"".join(
        (
            _MAGIC,
            len(conversation).to_bytes(1, "big"),
            conversation,
            len(authorization).to_bytes(2, "big"),
            authorization,
        )
    )


def read_prefix(data: bytes) -> tuple[RelayPrefix, int] | None:
    """
    Read a prefix and its length; None while bytes are missing.

    Raises InvalidInput as soon as it can't become one, so that strangers are known early.
    """
    if not _MAGIC.startswith(data[: len(_MAGIC)]):
        raise InvalidInput("this is no relay prefix of a version that is known")
    at = len(_MAGIC)
    conversation = _field(data, at, 1, MAX_CONVERSATION)
    if conversation is None:
        return None
    at += 1 + len(conversation)
    authorization = _field(data, at, 2, MAX_AUTHORIZATION)
    if authorization is None:
        return None
    at += 2 + len(authorization)
    try:
        return RelayPrefix(conversation.decode("ascii"), authorization.decode("ascii")), at
    except UnicodeDecodeError:
        raise InvalidInput("the relay prefix is not plain text") from None


def write_answer(answer: RelayAnswer) -> bytes:
    """What the relay says to a prefix."""
    code = answer.code.encode()[:255]
    head = bytes([VERSION]) + answer.status.to_bytes(2, "big")
    return head + len(code).to_bytes(1, "big") + code


def read_answer(data: bytes) -> tuple[RelayAnswer, int] | None:
    """Read an answer and its length; None while bytes are missing. Raises InvalidInput."""
    if data and data[0] != VERSION:
        raise InvalidInput("the relay answers in a version that is not known")
    code = _field(data, 3, 1, 255)
    if code is None:
        return None
    try:
        found = RelayAnswer(int.from_bytes(data[1:3], "big"), code.decode("ascii"))
    except UnicodeDecodeError:
        raise InvalidInput("the relay's refusal is not plain text") from None
    return found, 4 + len(code)


def write_farewell(code: int) -> bytes:
    """The relay's last word to an end: why it closes."""
    return _FAREWELL.pack(_MARK, _WORD, code)


def find_farewell(end: bytes) -> int | None:
    """The close code in the last bytes of a stream, if the relay said one."""
    if len(end) < FAREWELL_BYTES:
        return None
    mark, word, code = _FAREWELL.unpack_from(end, len(end) - FAREWELL_BYTES)
    found: int = code
    return found if (mark, word) == (_MARK, _WORD) else None


def farewell_text(code: int | None) -> str:
    """A close code of the relay as people read it; None is an end without a word."""
    if code == PEER_GONE:
        return "the other side left the relay"
    return f"the relay closed ({'without a word' if code is None else code})"


def may_be_farewell(left: bytes) -> bool:
    """
    Whether bytes at a border of messages are the beginning of a farewell.

    Up to three bytes of a length may stand before it, since the relay knows no borders.
    """
    begun = (left[cut:] for cut in range(4))
    return any(
        _FAREWELL_START.startswith(one[: len(_FAREWELL_START)])
        for one in begun
        if 0 < len(one) <= FAREWELL_BYTES
    )


def _field(data: bytes, at: int, width: int, limit: int) -> bytes | None:
    """A field behind its length; None while bytes are missing."""
    start = at + width
    if len(data) < start:
        return None
    size = int.from_bytes(data[at:start], "big")
    if size > limit:
        raise InvalidInput(f"a field of {size} bytes is over its limit of {limit}")
    return data[start : start + size] if len(data) >= start + size else None
