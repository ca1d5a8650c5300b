"""JSON objects from outside: bounded in size and depth, no key twice, no NaN, no broken text."""

from __future__ import annotations

import json
import re
from typing import NoReturn, TypeVar

import msgspec

from commander.errors import InvalidInput

MAX_DEPTH = 16
_MAX_NUMBER_DIGITS = 24

_T = TypeVar("_T")
# Strings are cut out, so that brackets inside texts are not counted as depth. The closing
# quote is optional and nothing is given back: a match never fails late, so time stays linear.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")


def decode_object(data: bytes, kind: type[_T], *, what: str, limit: int) -> _T:
    """
    Read one JSON object of at most `limit` bytes as `kind` (a msgspec type).

    Trailing spaces are allowed, since senders pad with them. Raises InvalidInput,
    naming `what` and the place, for everything else that is not exactly of the form.
    """
    if len(data) > limit:
        raise InvalidInput(f"{what} is longer than {limit} bytes")
    _check_depth(data, what)
    try:
        _check_unambiguous(data)
        return msgspec.json.decode(data, type=kind)
    except (ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise InvalidInput(f"{what} is malformed: {error}") from None


def _check_depth(data: bytes, what: str) -> None:
    depth = 0
    for bracket in _STRING.sub(b"", data).translate(None, _NO_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        if depth > MAX_DEPTH:
            raise InvalidInput(f"{what} is nested deeper than {MAX_DEPTH}")


def _check_unambiguous(data: bytes) -> None:
    """Raise ValueError for what two parsers could read differently."""
    found = json.loads(
        data.decode(),
        object_pairs_hook=_refuse_twice,
        parse_constant=_refuse_constant,
        parse_int=_check_number,
        parse_float=_check_number,
    )
    if found is not None:
        raise ValueError("not an object")


def _refuse_twice(pairs: list[tuple[str, object]]) -> None:
    if len({name for name, _ in pairs}) != len(pairs):
        raise ValueError("a key is there twice")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")


def _check_number(digits: str) -> int:
    if len(digits) > _MAX_NUMBER_DIGITS:
        raise ValueError("a number is too long")
    return 0
