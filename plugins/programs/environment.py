"""
Environments of programs: NAME=VALUE lines of a file, and which values hold notation. Pure.

A file's line is `[export ]NAME=VALUE`; `#` begins a comment at the beginning of a line or behind
white space. 'Single' quotes keep everything, "double" ones know \\n \\t \\r \\" \\\\ \\$. Nothing is expanded
but notation, and a quoted value may go over several lines.
"""

from __future__ import annotations

import re

from commander.errors import InvalidInput

MAX_FILE = 1024 * 1024
MAX_NAMES = 4096
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z", re.ASCII)
_LINE = re.compile(r"[ \t]*(?:export[ \t]+)?(?P<name>[^=\s#]+)[ \t]*=[ \t]*", re.ASCII)
_REST = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\n|\Z)")
_PLAIN = re.compile(r"[^\n]*")
_PLAIN_COMMENT = re.compile(r"(?:^|[ \t]+)#.*")
_SINGLE = re.compile(r"'([^']*)'")
_DOUBLE = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\", "$": "$"}


def parse_environment(data: bytes, *, name: str) -> dict[str, str]:
    """
    Read a file of NAME=VALUE lines; of a name that is there twice the last counts.

    Raises InvalidInput with file and line for everything else, over 1 MiB or 4,096 names.
    """
    if len(data) > MAX_FILE:
        raise InvalidInput(f"{name} is larger than {MAX_FILE} bytes")
    try:
        text = data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError:
        raise InvalidInput(f"{name} is not UTF-8 text") from None
    found: dict[str, str] = {}
    place, line = 0, 1
    while place < len(text):
        begin, where = place, f"{name}, line {line}"
        empty = _REST.match(text, place)
        if empty:
            place = empty.end()
        else:
            key, value, place = _assignment(text, place, where)
            found[check_name(key, where)] = check_value(value, where)
        # Counted as it goes: from the top for each line, a file of many lines would take minutes.
        line += text.count("\n", begin, place)
        if len(found) > MAX_NAMES:
            raise InvalidInput(f"{name} has more than {MAX_NAMES} names")
    return found


def _assignment(text: str, place: int, where: str) -> tuple[str, str, int]:
    begin = _LINE.match(text, place)
    if begin is None:
        raise InvalidInput(f"{where}: this is not NAME=VALUE", hint="# begins a comment")
    value, place = _value(text, begin.end(), where)
    end = _REST.match(text, place)
    if end is None:
        raise InvalidInput(f"{where}: something follows the closing quote")
    return begin["name"], value, end.end()


def _value(text: str, place: int, where: str) -> tuple[str, int]:
    mark = text[place : place + 1]
    if mark not in ("'", '"'):
        plain = _PLAIN.match(text, place)
        assert plain is not None, "an empty value matches too"
        return _PLAIN_COMMENT.sub("", plain[0]).rstrip(), plain.end()
    quoted = (_SINGLE if mark == "'" else _DOUBLE).match(text, place)
    if quoted is None:
        raise InvalidInput(f"{where}: the closing quote is missing")
    inner = quoted[1] if mark == "'" else _ESCAPE.sub(_unescape, quoted[1])
    return inner, quoted.end()


def _unescape(found: re.Match[str]) -> str:
    return _ESCAPES.get(found[1], found[0])


def parse_setting(text: str) -> tuple[str, str]:
    """Read NAME=VALUE as a flag has it. Raises InvalidInput."""
    name, equals, value = text.partition("=")
    if not equals:
        raise InvalidInput(
            f"--env {text[:60]!r} is not NAME=VALUE", hint="--env NAME=keeper://UID/field/password"
        )
    return check_name(name, "--env"), check_value(value, "--env")


def check_name(name: str, where: str) -> str:
    """Raise InvalidInput unless it is the name of a variable."""
    if not _NAME.match(name):
        raise InvalidInput(
            f"{where}: {name[:60]!r} is no name of a variable", hint="letters, digits and _"
        )
    return name


def check_value(value: str, where: str) -> str:
    """Raise InvalidInput for what the system cannot hand to a program."""
    if "\0" in value:
        raise InvalidInput(f"{where}: a value with a NUL character cannot be in an environment")
    return value
