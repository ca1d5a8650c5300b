"""
A record's JSON, exactly as official Secrets Manager SDKs read and write it.

    {"title", "type", "fields": [{"type", "label"?, "value": [...]}], "custom": [...], "notes"?}

Unknown members are kept byte for byte in meaning on rewrite. On the wire the JSON is padded with
spaces to a multiple of 256 bytes, which hides its length and which SDKs ignore.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from commander.errors import InvalidInput

PAD_BYTES = 256
TEXT_LIMIT = 1024 * 1024
MAX_DEPTH = 32
MAX_FIELDS = 500

Json = Any
Field = dict[str, Json]


class RecordData:
    """A record's content; a thin, checked view of its JSON object."""

    def __init__(self, content: dict[str, Json]) -> None:
        """Take a parsed JSON object. Raises InvalidInput when title, type or fields have another form."""
        for name in ("title", "type"):
            if not isinstance(content.get(name), str):
                raise InvalidInput(f"the record has no {name}")
        for name in ("fields", "custom"):
            if not _is_field_list(content.get(name, [])):
                raise InvalidInput(f"the record's {name} are malformed")
        self.content = content

    @classmethod
    def create(cls, record_type: str, title: str) -> RecordData:
        """An empty record."""
        return cls({"title": title, "type": record_type, "fields": [], "custom": []})

    @property
    def title(self) -> str:
        """The title as the user wrote it."""
        return str(self.content["title"])

    @property
    def type(self) -> str:
        """The record type, e.g. `pamDatabase`."""
        return str(self.content["type"])

    @property
    def notes(self) -> str:
        """Free text, or ""."""
        notes = self.content.get("notes")
        return notes if isinstance(notes, str) else ""

    def fields(self) -> Iterator[Field]:
        """Standard fields, then custom ones."""
        yield from self.content.get("fields", [])
        yield from self.content.get("custom", [])

    def first(self, field_type: str, label: str = "") -> Json | None:
        """The first value of the first field of a type (and label), or None."""
        for field in self.fields():
            if field.get("type") == field_type and (not label or field.get("label") == label):
                values = field.get("value")
                return values[0] if isinstance(values, list) and values else None
        return None

    def text(self, field_type: str, label: str = "") -> str:
        """`first` as text, or ""."""
        value = self.first(field_type, label)
        return value if isinstance(value, str) else ""

    def set_first(self, field_type: str, value: Json, label: str = "") -> None:
        """Set a standard field's only value, adding the field when it is missing; None empties it."""
        values = [] if value is None else [value]
        for field in self.content.setdefault("fields", []):
            if field.get("type") == field_type and (not label or field.get("label") == label):
                field["value"] = values
                return
        field = {"type": field_type, "value": values}
        if label:
            field["label"] = label
        self.content["fields"].append(field)

    def host_and_port(self) -> tuple[str, int]:
        """
        The target of a resource: `pamHostname` {hostName, port}, else `host` {hostName, port}.

        ("", 0) for parts that are missing. Raises InvalidInput for a port that is none.
        """
        value = self.first("pamHostname") or self.first("host") or {}
        if not isinstance(value, dict):
            raise InvalidInput("the record's host is malformed")
        host, port = value.get("hostName", ""), value.get("port", "")
        if not isinstance(host, str):
            raise InvalidInput("the record's host is malformed")
        return host, parse_port(port) if port not in ("", None) else 0

    def serialize(self) -> bytes:
        """The padded JSON that is sealed. Raises InvalidInput over 1 MiB."""
        raw = json.dumps(self.content, ensure_ascii=False, separators=(",", ":")).encode()
        if len(raw) > TEXT_LIMIT - PAD_BYTES:
            raise InvalidInput("the record is larger than 1 MiB")
        return raw + b" " * (-len(raw) % PAD_BYTES)


def parse_record(data: bytes) -> RecordData:
    """
    Read a record's JSON. Raises InvalidInput for more than 1 MiB, depth over 32, over 500 fields,
    duplicate keys, NaN, or another form.
    """
    if len(data) > TEXT_LIMIT:
        raise InvalidInput("the record is larger than 1 MiB")
    try:
        content = json.loads(
            data, object_pairs_hook=_unique, parse_constant=_no_constant, parse_int=_short_int
        )
    except (ValueError, RecursionError):
        raise InvalidInput("the record is not valid JSON") from None
    if not isinstance(content, dict) or _depth(content) > MAX_DEPTH:
        raise InvalidInput("the record is not a JSON object of ordinary depth")
    return RecordData(content)


def parse_port(value: Json) -> int:
    """Read a port given as a number or ASCII digits. Raises InvalidInput outside 1 to 65535."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 5:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 65535:
        raise InvalidInput(f"{str(value)[:20]!r} is not a port", hint="a port is 1 to 65535")
    return value


def _is_field_list(value: Json) -> bool:
    return (
        isinstance(value, list)
        and len(value) <= MAX_FIELDS
        and all(isinstance(field, dict) and isinstance(field.get("type"), str) for field in value)
    )


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("duplicate key")
    return found


def _no_constant(name: str) -> Json:
    raise ValueError(name)


def _short_int(digits: str) -> int:
    if len(digits) > 20:
        raise ValueError("number")
    return int(digits)


def _depth(value: Json) -> int:
    deepest = 0
    level = [value]
    while level and deepest <= MAX_DEPTH:
        deepest += 1
        level = [
            child
            for item in level
            if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
        ]
    return deepest
