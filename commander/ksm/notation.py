r"""
Notation: a text that names one value of one record, as Secrets Manager SDKs write it. Pure.

    [keeper://]UID|TITLE/type|title|notes
    [keeper://]UID|TITLE/field|custom_field/TYPE|LABEL[INDEX][MEMBER]
    [keeper://]UID|TITLE/file/NAME|TITLE|UID

`\` stands before each of / [ ] \ within a title, label or file name. Without an index it is the
first value, with [] all of them; [MEMBER] alone is the member of the first. The whole may be
written as url-safe base64, which holds no slash.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from commander.errors import Conflict, InvalidInput, NotFound
from commander.ksm.base64_text import from_any

PREFIX = "keeper://"
MAX_NOTATION = 2048
_SHOWN = 100
_ESCAPED = re.compile(r"[/\[\]\\]")
_DIGITS = re.compile(r"[0-9]{1,6}\Z", re.ASCII)
Json = Any


class Selector(Enum):
    """Which part of a record is meant."""

    TYPE = "type"
    TITLE = "title"
    NOTES = "notes"
    FIELD = "field"
    CUSTOM_FIELD = "custom_field"
    FILE = "file"

    @property
    def takes_name(self) -> bool:
        """Whether a type, label or file name follows."""
        return self in (Selector.FIELD, Selector.CUSTOM_FIELD, Selector.FILE)


@dataclass(frozen=True)
class Notation:
    """What a notation names; `index` None means all values, `member` "" the whole value."""

    record: str
    selector: Selector
    name: str = ""
    index: int | None = 0
    member: str = ""

    def __str__(self) -> str:
        text = f"{PREFIX}{_escape(self.record)}/{self.selector.value}"
        if self.selector.takes_name:
            text += f"/{_escape(self.name)}"
        if self.index is None:
            text += "[]"
        elif self.index or self.member:
            text += f"[{self.index}]"
        return text + (f"[{_escape(self.member)}]" if self.member else "")


def is_notation(text: str) -> bool:
    """Whether a text says that it is one: it begins with `keeper://`, in any case."""
    return text[: len(PREFIX)].lower() == PREFIX


def parse_notation(text: str) -> Notation:
    """Read a notation. Raises InvalidInput saying what is wrong with it."""
    if len(text) > MAX_NOTATION:
        raise InvalidInput(f"a notation has at most {MAX_NOTATION} characters")
    plain = text if "/" in text else _from_base64(text)
    start = len(PREFIX) if is_notation(plain) else 0
    record, place = _word(plain, start, "/")
    end = plain.find("/", place + 1)
    selector = _selector(plain, plain[place + 1 :] if end < 0 else plain[place + 1 : end])
    if not record:
        raise _invalid(plain, "it names no record")
    if not selector.takes_name:
        if end >= 0:
            raise _invalid(plain, f"nothing follows {selector.value!r}")
        return Notation(record, selector)
    name, place = _word(plain, end + 1 if end >= 0 else len(plain), "[")
    if not name:
        raise _invalid(plain, f"a name follows {selector.value!r}")
    predicates = _predicates(plain, place)
    if selector is Selector.FILE and predicates:
        raise _invalid(plain, "a file has no index")
    return _indexed(plain, Notation(record, selector, name), predicates)


def _selector(plain: str, word: str) -> Selector:
    try:
        return Selector(word.lower())
    except ValueError:
        known = ", ".join(selector.value for selector in Selector)
        raise _invalid(plain, f"after the record comes one of {known}") from None


def _indexed(plain: str, notation: Notation, predicates: list[str]) -> Notation:
    if not predicates:
        return notation
    first, *rest = predicates
    if len(predicates) == 1 and first and not _DIGITS.match(first):
        return Notation(notation.record, notation.selector, notation.name, 0, first)
    if first and not _DIGITS.match(first):
        raise _invalid(plain, "the first index is a number or empty")
    if len(rest) > 1 or "" in rest or any(_DIGITS.match(word) for word in rest):
        raise _invalid(plain, "the second index is the name of a member, and the last")
    index = int(first) if first else None
    return Notation(notation.record, notation.selector, notation.name, index, "".join(rest))


def _word(plain: str, place: int, end: str) -> tuple[str, int]:
    """The unescaped text up to an unescaped `end`, and where that is (or the end of all)."""
    word = []
    while place < len(plain) and plain[place] != end:
        if plain[place] == "\\":
            place += 1
            if not _ESCAPED.match(plain[place : place + 1]):
                raise _invalid(plain, r"\ stands only before / [ ] and \ itself")
        word.append(plain[place])
        place += 1
    return "".join(word), place


def _predicates(plain: str, place: int) -> list[str]:
    found = []
    while place < len(plain):
        if plain[place] != "[":
            raise _invalid(plain, "after an index comes nothing but another one")
        word, place = _word(plain, place + 1, "]")
        if place == len(plain):
            raise _invalid(plain, "an index ends with ]")
        found.append(word)
        place += 1
    return found


def _from_base64(text: str) -> str:
    try:
        return from_any(text, what="a notation", most=MAX_NOTATION).decode()
    except (InvalidInput, UnicodeDecodeError):
        raise _invalid(text, "it is neither RECORD/SELECTOR... nor base64 of that") from None


def _escape(text: str) -> str:
    return _ESCAPED.sub(lambda found: "\\" + found[0], text)


def _invalid(text: str, reason: str) -> InvalidInput:
    return InvalidInput(
        f"{text[:_SHOWN]!r} is no notation: {reason}",
        hint="for example keeper://UID/field/password",
    )


def select(content: Mapping[str, Json], notation: Notation) -> Json:
    """
    The value that a notation names in a record's JSON; never None or an empty list.

    Raises NotFound for what is not there or empty, Conflict where several fields fit. Files are
    not in the JSON: the caller looks at the selector first.
    """
    assert notation.selector is not Selector.FILE, "files are fetched, not selected"
    if notation.selector.takes_name:
        found = _pick(_field(content, notation), notation)
    else:
        found = content.get(notation.selector.value)
    if found in (None, "", []):
        raise NotFound(f"{_shown(notation)} has no value", hint="fill it in, or name another field")
    return found


def _field(content: Mapping[str, Json], notation: Notation) -> list[Json]:
    section = content.get("fields" if notation.selector is Selector.FIELD else "custom") or []
    fields = [f for f in section if notation.name in (f.get("type"), f.get("label"))]
    if not fields:
        names = ", ".join(sorted({str(f.get("label") or f.get("type")) for f in section}))
        raise NotFound(f"{_shown(notation)} is not there", hint=f"there are: {names or 'none'}")
    if len(fields) > 1:
        raise Conflict(
            f"{_shown(notation)} names {len(fields)} fields", hint="use a label that is there once"
        )
    values = fields[0].get("value")
    return values if isinstance(values, list) else []


def _pick(values: list[Json], notation: Notation) -> Json:
    if notation.index is None:
        if not notation.member:
            return values
        members = [v[notation.member] for v in values if _has(v, notation.member)]
        return [member for member in members if member is not None]
    if notation.index >= len(values):
        return None
    value = values[notation.index]
    if not notation.member:
        return value
    return value[notation.member] if _has(value, notation.member) else None


def _has(value: Json, member: str) -> bool:
    return isinstance(value, dict) and member in value


def _shown(notation: Notation) -> str:
    return repr(str(notation)[:_SHOWN])


def value_text(value: Json) -> str:
    """A value as text: texts as they are, everything else as JSON."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
