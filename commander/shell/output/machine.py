"""JSON, CSV and YAML forms of results: one document, stable keys, nothing else on stdout."""

from __future__ import annotations

import csv
import importlib
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from commander.errors import UsageError
from commander.plugin.results import Column, Document, Done, Plain, Table, Text, Unchanged
from commander.shell.output.gate import UNSAFE, escape_json
from commander.shell.output.values import for_people, for_scripts

Shown = Table | Document | Text | Done | Unchanged
# A spreadsheet takes a cell that begins so for a formula and runs it.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def to_plain(result: Shown) -> Plain:
    """The data of a result as lists and mappings."""
    if isinstance(result, Table):
        return [_row(result.columns, row) for row in result.rows]
    if isinstance(result, Document):
        document: dict[str, Plain] = {
            key: for_scripts(value, result.shapes[key]) if key in result.shapes else value
            for key, value in result.values.items()
        }
        return document | {key: to_plain(table) for key, table in result.tables.items()}
    if isinstance(result, Text):
        return {"text": result.text}
    status = "done" if isinstance(result, Done) else "unchanged"
    return {"status": status, "message": result.message, **result.data}


def _row(columns: Sequence[Column], row: Mapping[str, Plain]) -> dict[str, Plain]:
    return {column.key: for_scripts(row.get(column.key), column.shape) for column in columns}


def render_json(result: Shown, *, one_line: bool = False) -> str:
    """One JSON document with a newline at its end; unsafe characters as \\u escapes."""
    plain = _listable(to_plain(result))
    indent = None if one_line else 2
    text = json.dumps(plain, ensure_ascii=False, indent=indent, allow_nan=False)
    return escape_json(text) + "\n"


def _listable(value: Plain) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _listable(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_listable(item) for item in value]
    return value


def render_csv(result: Shown) -> str:
    """
    A header and rows; a document is one row.

    Text that a spreadsheet would run as a formula gets a `'` before it.
    Raises UsageError for a result that is no list of values.
    """
    if isinstance(result, Text):
        raise UsageError("this result is a text and has no CSV form", hint="use --format json")
    if isinstance(result, Table):
        keys = [column.key for column in result.columns]
        rows = [_row(result.columns, row) for row in result.rows]
    else:
        document = to_plain(result)
        assert isinstance(document, Mapping)
        keys, rows = list(document), [dict(document)]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")  # RFC 4180
    writer.writerow([_cell(key) for key in keys])
    writer.writerows([_cell(row[key]) for key in keys] for row in rows)
    return buffer.getvalue()


def _cell(value: Plain) -> str | int | float:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return value
    if isinstance(value, Sequence | Mapping) and not isinstance(value, str):
        value = json.dumps(_listable(value), ensure_ascii=False)
    text = for_people(value)
    return "'" + text if text.startswith(_FORMULA_STARTS) else text


def render_yaml(result: Shown) -> str:
    """One YAML document, keys in order; unsafe characters as \\u escapes."""
    # YAML takes longer to import than most commands run, and few ask for it.
    yaml: Any = importlib.import_module("yaml")

    class Dumper(yaml.SafeDumper):  # type: ignore[misc]  # the module is loaded late, so Any
        def ignore_aliases(self, data: object) -> bool:
            return True

    def represent(dumper: Any, text: str) -> Any:
        style = '"' if UNSAFE.search(text) else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)

    Dumper.add_representer(str, represent)
    plain = _listable(to_plain(result))
    # A line width beyond any text keeps scalars whole, so that escapes never split.
    text: str = yaml.dump(plain, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=10**9)
    return _escape_yaml(text)


def _escape_yaml(text: str) -> str:
    # YAML has \U for what JSON writes as two surrogates; the rest is the same in double quotes.
    wide = UNSAFE.sub(lambda m: f"\\U{ord(m[0]):08X}" if ord(m[0]) > 0xFFFF else m[0], text)
    return escape_json(wide)
