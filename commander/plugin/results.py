"""
What a command gives back: pure data, rendered by the shell as table, JSON, CSV or YAML.

Keys are stable snake_case names that scripts rely on; titles are for people and
may change. Values are plain: text, numbers, booleans, None, lists and mappings of
these. Escaping for the terminal happens in the shell's output gate, never here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

Plain = str | int | float | bool | None | Sequence["Plain"] | Mapping[str, "Plain"]


class Shape(Enum):
    """How a column's value reads: people see `Shape`, scripts get the exact value."""

    PLAIN = "plain"
    TIME = "time"  # seconds since 1970 UTC -> ISO 8601 UTC in every format
    SIZE = "size"  # bytes -> "12.3 MiB" for people, bytes for scripts
    DURATION = "duration"  # seconds -> "2h 5m" for people, seconds for scripts


_SHORT_WORDS = {"uid": "UID", "id": "ID", "ip": "IP", "url": "URL", "rtt": "RTT", "ksm": "KSM"}


@dataclass(frozen=True)
class Column:
    """A column: its key for scripts, its title for people ("record_uid" reads "Record UID")."""

    key: str
    title: str = ""
    shape: Shape = Shape.PLAIN
    # Shown to people only when asked for by --columns; scripts always get it.
    detail: bool = False

    @property
    def heading(self) -> str:
        """The title, or one made from the key."""
        words = [_SHORT_WORDS.get(word, word.capitalize()) for word in self.key.split("_")]
        return self.title or " ".join(words)


@dataclass(frozen=True)
class Table:
    """Rows of the same columns; a key that a row lacks is None. `empty` is said of no rows."""

    columns: Sequence[Column]
    rows: Sequence[Mapping[str, Plain]]
    title: str = ""
    empty: str = ""


@dataclass(frozen=True)
class Document:
    """
    One thing with named values.

    `text` is what people see instead of the values, when it is given;
    `shapes` says how single values read. `tables` are its parts of many rows: people see
    them below the values, scripts get a list under each key.
    """

    values: Mapping[str, Plain]
    title: str = ""
    text: str = ""
    shapes: Mapping[str, Shape] = field(default_factory=dict)
    tables: Mapping[str, Table] = field(default_factory=dict)


@dataclass(frozen=True)
class Text:
    """A text that is the result itself; as JSON it is `{"text": ...}`."""

    text: str


@dataclass(frozen=True)
class Done:
    """Something was changed: a sentence for people; scripts get `data` with `"status": "done"`."""

    message: str
    data: Mapping[str, Plain] = field(default_factory=dict)


@dataclass(frozen=True)
class Unchanged:
    """Nothing had to be changed (`--if-missing`): as `Done`, with `"status": "unchanged"`."""

    message: str
    data: Mapping[str, Plain] = field(default_factory=dict)


@dataclass(frozen=True)
class Exited:
    """The process ends (or the line counts as failed) with this code, after `result` is shown."""

    code: int
    result: Table | Document | Text | Done | Unchanged | None = None


Result = Table | Document | Text | Done | Unchanged | Exited
