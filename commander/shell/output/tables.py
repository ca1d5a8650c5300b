"""Results for people: aligned text without a terminal, rich tables on one."""

from __future__ import annotations

import importlib
import unicodedata
from collections.abc import Sequence
from typing import Any

from commander.plugin.results import Document, Done, Table, Text, Unchanged
from commander.shell.output.gate import escape_line, escape_text
from commander.shell.output.machine import Shown
from commander.shell.output.values import for_people

# A cell beyond this is cut for people; JSON, YAML and CSV give all of it.
MAX_CELL = 1000
_WIDE = ("W", "F")
# Longest cell that is kept in one piece; a UID has 22 characters.
_WORD = 24


def render_plain(result: Shown, *, chosen_columns: bool = False) -> str:
    """The result as aligned text, without colour or lines; ends with a newline unless empty."""
    if isinstance(result, Table):
        return _plain_table(result, chosen_columns=chosen_columns)
    if isinstance(result, Document):
        return escape_text(_ended(result.text)) if result.text else _plain_document(result)
    if isinstance(result, Text):
        return escape_text(_ended(result.text))
    if isinstance(result, Unchanged):
        return escape_text(_ended(f"unchanged: {result.message}"))
    assert isinstance(result, Done)
    return escape_text(_ended(result.message))


def render_rich(result: Shown, *, width: int, colour: bool, chosen_columns: bool = False) -> str:
    """As `render_plain`, but tables are drawn by rich and fitted to `width`."""
    if isinstance(result, Document) and not result.text:
        parts = [_plain_values(result)]
        parts += [render_rich(part, width=width, colour=colour) for part in _parts(result)]
        return "\n".join(part for part in parts if part)
    if not isinstance(result, Table) or not result.rows:
        return render_plain(result, chosen_columns=chosen_columns)
    table_module: Any = importlib.import_module("rich.table")
    text_module: Any = importlib.import_module("rich.text")
    box: Any = importlib.import_module("rich.box")
    table = table_module.Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    headings, rows = _cells(result, chosen_columns=chosen_columns)
    for place, heading in enumerate(headings):
        keep = all(_is_one_word(row[place]) for row in rows)
        table.add_column(text_module.Text(heading), overflow="fold", no_wrap=keep)
    for row in rows:
        # Text objects: rich would read square brackets in a str as markup.
        table.add_row(*(text_module.Text(cell) for cell in row))
    return _title(result) + _draw(table, width=width, colour=colour)


def _is_one_word(cell: str) -> bool:
    """UIDs, addresses and numbers are there to be copied: they stay in one piece."""
    return len(cell) <= _WORD and " " not in cell


def _draw(table: Any, *, width: int, colour: bool) -> str:
    console_module: Any = importlib.import_module("rich.console")
    console = console_module.Console(
        width=width, force_terminal=colour, no_color=not colour, highlight=False, emoji=False
    )
    with console.capture() as capture:
        console.print(table)
    drawn: str = capture.get()
    return "\n".join(line.rstrip() for line in drawn.strip("\n").split("\n")) + "\n"


def _plain_table(table: Table, *, chosen_columns: bool) -> str:
    if not table.rows:
        return _title(table) + (escape_text(_ended(table.empty)) if table.empty else "")
    headings, rows = _cells(table, chosen_columns=chosen_columns)
    widths = [
        max(text_width(row[place]) for row in [headings, *rows]) for place in range(len(headings))
    ]
    lines = [_aligned(headings, widths), "  ".join("-" * width for width in widths)]
    lines += [_aligned(row, widths) for row in rows]
    return _title(table) + "\n".join(lines) + "\n"


def _cells(table: Table, *, chosen_columns: bool) -> tuple[list[str], list[list[str]]]:
    columns = [column for column in table.columns if chosen_columns or not column.detail]
    headings = [escape_line(column.heading) for column in columns]
    rows = [
        [_cell(for_people(row.get(column.key), column.shape)) for column in columns]
        for row in table.rows
    ]
    return headings, rows


def _cell(text: str) -> str:
    return escape_line(text if len(text) <= MAX_CELL else text[: MAX_CELL - 1] + "…")


def _title(table: Table) -> str:
    return escape_line(table.title) + "\n" if table.title else ""


def _plain_document(document: Document) -> str:
    parts = [_plain_values(document)]
    parts += [_plain_table(part, chosen_columns=False) for part in _parts(document)]
    return "\n".join(part for part in parts if part)


def _parts(document: Document) -> list[Table]:
    return [part for part in document.tables.values() if part.rows or part.empty]


def _plain_values(document: Document) -> str:
    lines = [escape_line(document.title)] if document.title else []
    names = [escape_line(key.replace("_", " ")) for key in document.values]
    size = max((text_width(name) for name in names), default=0)
    for name, (key, value) in zip(names, document.values.items(), strict=True):
        shape = document.shapes.get(key)
        text = for_people(value, shape) if shape else for_people(value)
        lines.append(f"{_padded(name, size)} : {escape_line(text)}".rstrip())
    return "\n".join(lines) + "\n" if lines else ""


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    pairs = zip(cells, widths, strict=True)
    return "  ".join(_padded(cell, width) for cell, width in pairs).rstrip()


def _padded(text: str, width: int) -> str:
    return text + " " * (width - text_width(text))


def text_width(text: str) -> int:
    """Columns a text takes on a terminal: wide letters two, combining marks none."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(letter) else 2 if _is_wide(letter) else 1 for letter in text
    )


def _is_wide(letter: str) -> bool:
    return unicodedata.east_asian_width(letter) in _WIDE


def _ended(text: str) -> str:
    return text if not text or text.endswith("\n") else text + "\n"
