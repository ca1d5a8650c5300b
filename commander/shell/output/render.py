"""One result to one text in the format that was asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from commander.errors import UsageError
from commander.plugin.results import Column, Document, Exited, Plain, Result, Table
from commander.shell.output.gate import escape_text
from commander.shell.output.machine import Shown, render_csv, render_json, render_yaml
from commander.shell.output.result_file import write_result
from commander.shell.output.tables import render_plain, render_rich
from commander.shell.terminal import Terminal


@dataclasses.dataclass(frozen=True)
class Wanted:
    """How the user wants a result: format, chosen columns, file."""

    format: str = "table"
    columns: tuple[str, ...] = ()
    file: Path | None = None
    force: bool = False


def shown_part(result: Result | None) -> Shown | None:
    """What of a result is shown; an exit code alone shows nothing."""
    return result.result if isinstance(result, Exited) else result


def render(result: Shown, wanted: Wanted, terminal: Terminal) -> str:
    """
    Make the text. Raises UsageError for columns that the result does not have.

    Table text has passed the gate; JSON and YAML carry escapes; CSV is exact unless
    it goes to a terminal.
    """
    if wanted.columns:
        result = choose_columns(result, wanted.columns)
    if wanted.format == "json":
        return render_json(result)
    if wanted.format == "yaml":
        return render_yaml(result)
    to_terminal = terminal.stdout and wanted.file is None
    if wanted.format == "csv":
        text = render_csv(result)
        return escape_text(text.replace("\r\n", "\n")) if to_terminal else text
    chosen = bool(wanted.columns)
    if to_terminal and not terminal.is_dumb:
        return render_rich(
            result, width=terminal.width, colour=terminal.colour, chosen_columns=chosen
        )
    return render_plain(result, chosen_columns=chosen)


def save(text: str, wanted: Wanted) -> str:
    """Write a rendered result to the file that was asked for; returns a notice for people."""
    assert wanted.file is not None
    data = text.encode("utf-8", "backslashreplace")
    write_result(wanted.file, data, force=wanted.force)
    return f"{len(data)} bytes written to {wanted.file}"


def choose_columns(result: Shown, names: Sequence[str]) -> Shown:
    """Keep these columns in this order, named by key or title. Raises UsageError."""
    if isinstance(result, Document):
        values: dict[str, Plain] = {name: _value(result, name) for name in names}
        return dataclasses.replace(result, values=values, text="", tables={})
    if not isinstance(result, Table):
        raise UsageError("this result has no columns")
    by_name: dict[str, Column] = {}
    for column in result.columns:
        by_name.setdefault(column.heading.lower(), column)
        by_name[column.key.lower()] = column
    missing = [name for name in names if name.lower() not in by_name]
    if missing:
        known = ", ".join(column.key for column in result.columns)
        raise UsageError(f"there is no column {missing[0][:60]!r}", hint=f"one of {known}")
    return dataclasses.replace(result, columns=[by_name[name.lower()] for name in names])


def _value(document: Document, name: str) -> Plain:
    if name not in document.values:
        known = ", ".join(document.values)
        raise UsageError(f"there is no value {name[:60]!r}", hint=f"one of {known}")
    return document.values[name]
