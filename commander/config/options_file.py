"""
The form of config.yaml: one flat YAML mapping of scalars (and lists of scalars), read strictly.

Limits: 64 KiB, no anchors, aliases, tags, nesting, second document or repeated
key. Every error names the line, so that the user can open the file there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

import yaml

from commander.config.options import CHOICES, RANGES, Options
from commander.errors import InvalidInput

MAX_BYTES = 64 * 1024
MAX_LIST = 64
# PyYAML takes quadratic time over brackets that stay open; options need a handful.
MAX_BRACKETS = 200
_TRUE = ("true", "yes", "on")
_FALSE = ("false", "no", "off")

Found = dict[str, tuple[str | tuple[str, ...], int]]


def parse_options(data: bytes, *, name: str = "config.yaml") -> Options:
    """Read the options. Raises InvalidInput with the line of the first thing that is wrong."""
    if len(data) > MAX_BYTES:
        raise InvalidInput(f"{name} is larger than {MAX_BYTES} bytes")
    try:
        text = data.decode("utf-8-sig")
        _check_brackets(text, name)
        found = _read_flat(yaml.parse(text, Loader=yaml.SafeLoader), name)
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{name} is not UTF-8 at byte {error.start}") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InvalidInput(f"{name} line {line}: {error.problem}") from error
    except yaml.YAMLError as error:
        raise InvalidInput(f"{name} is not YAML: control character or bad encoding") from error
    return _build(found, name)


def _check_brackets(text: str, name: str) -> None:
    opened = [found.start() for found in re.finditer(r"[\[{]", text)]
    if len(opened) > MAX_BRACKETS:
        line = text.count("\n", 0, opened[MAX_BRACKETS]) + 1
        raise InvalidInput(f"{name} line {line}: more than {MAX_BRACKETS} brackets")


def set_option(text: str, key: str, value: str) -> str:
    """
    Return the file's text with one scalar option set; comments and order stay.

    The caller reads the result back with `parse_options` before it is written.
    """
    assert key in {field.name for field in fields(Options)}
    quoted = '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    line = f"{key}: {quoted}"
    pattern = re.compile(rf"^{re.escape(key)}[ \t]*:.*$", re.MULTILINE)
    if pattern.search(text):
        return pattern.sub(lambda _: line, text, count=1)
    separator = "" if not text or text.endswith("\n") else "\n"
    return f"{text}{separator}{line}\n"


def _read_flat(events: Iterator[yaml.Event], name: str) -> Found:
    found: Found = {}
    body = [e for e in events if not isinstance(e, yaml.StreamStartEvent | yaml.StreamEndEvent)]
    if not body:
        return found
    if not isinstance(body[1], yaml.MappingStartEvent):
        # A file of comments only is one empty plain scalar to the YAML parser.
        if isinstance(body[1], yaml.ScalarEvent) and not body[1].value:
            return found
        raise _wrong(name, body[1], "must be `name: value` lines")
    rest = iter(body[2:])
    for event in rest:
        if isinstance(event, yaml.MappingEndEvent):
            break
        key = _scalar(name, event)
        if key in found:
            raise _wrong(name, event, f"{key!r} is set a second time")
        found[key] = (_value(name, rest), _line(event))
    for event in rest:
        if isinstance(event, yaml.DocumentStartEvent):
            raise _wrong(name, event, "a second document is not read")
    return found


def _value(name: str, rest: Iterator[yaml.Event]) -> str | tuple[str, ...]:
    event = next(rest)
    if not isinstance(event, yaml.SequenceStartEvent):
        return _scalar(name, event)
    items: list[str] = []
    for item in rest:
        if isinstance(item, yaml.SequenceEndEvent):
            break
        if len(items) == MAX_LIST:
            raise _wrong(name, item, f"more than {MAX_LIST} items")
        items.append(_scalar(name, item))
    return tuple(items)


def _scalar(name: str, event: yaml.Event) -> str:
    if not isinstance(event, yaml.ScalarEvent):
        raise _wrong(name, event, "nested values and references are not read here")
    if event.anchor or event.tag:
        raise _wrong(name, event, "anchors and tags are not read here")
    return str(event.value)


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1


def _wrong(name: str, event: yaml.Event, problem: str) -> InvalidInput:
    return InvalidInput(f"{name} line {_line(event)}: {problem}")


def _build(found: Found, name: str) -> Options:
    kinds = {field.name: type(field.default) for field in fields(Options)}
    values: dict[str, Any] = {}
    for key, (value, line) in found.items():
        if key not in kinds:
            known = ", ".join(sorted(kinds))
            raise InvalidInput(
                f"{name} line {line}: {key[:60]!r} is unknown", hint=f"one of {known}"
            )
        try:
            values[key] = _convert(key, kinds[key], value)
        except ValueError as error:
            raise InvalidInput(f"{name} line {line}: {key} {error}") from error
    return replace(Options(), **values)


def _convert(key: str, kind: type, value: str | tuple[str, ...]) -> object:
    if kind is tuple:
        return value if isinstance(value, tuple) else (value,)
    if isinstance(value, tuple):
        raise ValueError("takes one value, not a list")
    if kind is bool:
        return _boolean(value)
    if kind is int:
        return _number(key, value)
    if key in CHOICES and value not in CHOICES[key]:
        raise ValueError(f"must be one of {', '.join(CHOICES[key])}")
    return value


def _boolean(value: str) -> bool:
    if value.lower() not in _TRUE + _FALSE:
        raise ValueError("must be true or false")
    return value.lower() in _TRUE


def _number(key: str, value: str) -> int:
    low, high = RANGES[key]
    if not re.fullmatch(r"[0-9]{1,9}", value) or not low <= int(value) <= high:
        raise ValueError(f"must be a number from {low} to {high}")
    return int(value)
