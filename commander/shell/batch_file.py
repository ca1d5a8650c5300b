"""Batch files: which may be run, and their bytes as numbered lines."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from commander.errors import InvalidInput, NotAllowed, NotFound
from commander.shell.lexer import OpenEnd, scan_line

MAX_BYTES = 16 * 1024 * 1024
MAX_LINES = 100_000
_OTHERS_MAY_WRITE = 0o002


@dataclass(frozen=True)
class BatchLine:
    """A line to run: its number in the file (of its first part), text, and `@` mark."""

    number: int
    text: str
    may_fail: bool = False


def read_batch_file(path: str, *, trust_file: bool) -> bytes:
    """
    Read a file of commands.

    Raises NotFound, NotAllowed for a file that others can write or own (unless
    trusted), InvalidInput for what is no plain file or is too large.
    """
    try:
        # Not blocking: a FIFO would otherwise hold us before we can see that it is one.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise NotFound(f"there is no file {path!r}") from error
    except PermissionError as error:
        raise NotAllowed(f"{path!r} cannot be read", hint="check its rights") from error
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{path[:200]!r} cannot be opened: {error}") from error
    try:
        _check_trust(path, os.fstat(handle), trust_file=trust_file)
        data = _read_up_to(handle, MAX_BYTES + 1)
    finally:
        os.close(handle)
    if len(data) > MAX_BYTES:
        raise InvalidInput(f"{path!r} is larger than {MAX_BYTES} bytes")
    return data


def _read_up_to(handle: int, limit: int) -> bytes:
    data = bytearray()
    while len(data) < limit:
        step = os.read(handle, limit - len(data))
        if not step:
            break
        data += step
    return bytes(data)


def _check_trust(path: str, found: os.stat_result, *, trust_file: bool) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise InvalidInput(f"{path!r} is not a plain file", hint="pipe it to `commander -`")
    if trust_file:
        return
    if found.st_uid not in (os.geteuid(), 0):
        raise NotAllowed(f"{path!r} belongs to another user", hint="read it, then use --trust-file")
    if found.st_mode & _OTHERS_MAY_WRITE:
        raise NotAllowed(
            f"{path!r} can be written by other users", hint=f"chmod o-w {path}, or --trust-file"
        )


def decode_batch(data: bytes, name: str) -> list[str]:
    """
    Bytes to lines: UTF-8 with or without a byte order mark, LF or CRLF ends, also mixed.

    Raises InvalidInput with the line number for anything else.
    """
    if len(data) > MAX_BYTES:
        raise InvalidInput(f"{name} is larger than {MAX_BYTES} bytes")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InvalidInput(f"{name} is UTF-16", hint="save it as UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = data[: error.start].count(b"\n") + 1
        raise InvalidInput(f"{name} line {number}: not UTF-8 at byte {error.start}") from error
    lines = text.split("\n")
    if len(lines) > MAX_LINES:
        raise InvalidInput(f"{name} has more than {MAX_LINES} lines")
    return [line.removesuffix("\r") for line in lines]


def batch_lines(lines: list[str]) -> Iterator[BatchLine]:
    """
    Join continued lines and leave out empty ones and comments.

    A line continues when it ends with a backslash that escapes nothing else. One
    that cannot be read is given out as it is: running it gives the error.
    """
    pending, first = "", 0
    for number, line in enumerate(lines, start=1):
        text, first = pending + line, first or number
        if number < len(lines) and _continues(text):
            pending = text[:-1]
            continue
        pending, number_of_text, first = "", first, 0
        made = _line(number_of_text, text)
        if made is not None:
            yield made


def _continues(text: str) -> bool:
    if not text.endswith("\\"):
        return False
    return isinstance(scan_line(_without_mark(text)).problem, OpenEnd)


def _without_mark(text: str) -> str:
    bare = text.lstrip(" \t")
    return bare[1:] if bare.startswith("@") else bare


def _line(number: int, text: str) -> BatchLine | None:
    bare = text.strip(" \t")
    if not bare or bare.startswith("#"):
        return None
    if bare.startswith("@"):
        return BatchLine(number, text.lstrip(" \t")[1:], may_fail=True)
    return BatchLine(number, text)
