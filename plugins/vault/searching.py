"""`search` and `list`: over the vault in memory, with a time budget."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from commander.clock import Clock
from commander.errors import InvalidInput, TimedOut
from commander.plugin.command import Arguments
from commander.plugin.context import Context
from commander.plugin.results import Column, Result, Table
from commander.vault.record_types import is_secret_field
from commander.vault.replica import OpenRecord
from commander.vault.state import View
from commander.wire.records import RecordData
from plugins.vault.opened import fresh_vault
from plugins.vault.summaries import describe

BUDGET_S = 1.0
MAX_PATTERN = 256
MAX_TEXT = 2_000
# What makes a regular expression take for ever, inside one call that nothing can interrupt: a
# repeated group, or many repeats after each other.
_REPEATED_GROUP = re.compile(r"\)[*+{]")
_REPEAT = re.compile(r"[*+{]")
MAX_REPEATS = 3
MAX_LINE = 200
_COLUMNS = (
    Column("uid"),
    Column("title"),
    Column("type"),
    Column("description"),
    Column("path"),
)


async def search(context: Context, arguments: Arguments) -> Result:
    """Records that hold all the words, or match the expression, outside their secrets."""
    vault = await fresh_vault(context)
    pattern = arguments.text_or_none("pattern") or ""
    matches = regex_matcher(pattern) if arguments.flag("regex") else word_matcher(pattern)
    return _table(vault.view, matches, arguments.text_or_none("type"), context.clock)


async def list_records(context: Context, arguments: Arguments) -> Result:
    """All records, or those that hold the words."""
    vault = await fresh_vault(context)
    matches = word_matcher(arguments.text_or_none("pattern") or "")
    return _table(vault.view, matches, arguments.text_or_none("type"), context.clock)


def _table(
    view: View, matches: Callable[[str], bool], record_type: str | None, clock: Clock
) -> Table:
    found = find(view.records.values(), matches, record_type, clock)
    rows = [
        {
            "uid": record.uid,
            "title": record.data.title,
            "type": record.data.type,
            "description": describe(record.data),
            "path": view.record_path(record),
        }
        for record in sorted(found, key=lambda record: record.data.title.casefold())
    ]
    return Table(_COLUMNS, rows, empty="no records found")


def find(
    records: Iterable[OpenRecord],
    matches: Callable[[str], bool],
    record_type: str | None,
    clock: Clock,
) -> Iterator[OpenRecord]:
    """Those that match. Raises TimedOut when the budget is used up."""
    ends = clock.monotonic() + BUDGET_S
    for record in records:
        if record_type and record.data.type.casefold() != record_type.casefold():
            continue
        if clock.monotonic() > ends:
            raise TimedOut(
                f"the search took longer than {BUDGET_S:g} s", hint="narrow it with --type"
            )
        if matches(searchable(record.data)):
            yield record


def searchable(data: RecordData) -> str:
    """What is searched: title, type, notes and fields, but no secret; bounded."""
    parts = [data.title, data.type, data.notes[:MAX_TEXT]]
    for field in data.fields():
        if not is_secret_field(field):
            parts.append(str(field.get("label", "")))
            values = field.get("value")
            parts += [_flat(value) for value in values] if isinstance(values, list) else []
    return "\n".join(parts)[:MAX_TEXT]


def _flat(value: object) -> str:
    if isinstance(value, dict):
        return " ".join(str(part) for part in value.values())
    return str(value)


def word_matcher(pattern: str) -> Callable[[str], bool]:
    """All words, in any order and case."""
    words = pattern.casefold().split()

    def matches(text: str) -> bool:
        folded = text.casefold()
        return all(word in folded for word in words)

    return matches


def regex_matcher(pattern: str) -> Callable[[str], bool]:
    """
    A regular expression, in any case. Raises InvalidInput for one that is not valid, repeats a
    group or repeats more than three times.
    """
    is_costly = _REPEATED_GROUP.search(pattern) or len(_REPEAT.findall(pattern)) > MAX_REPEATS
    if len(pattern) > MAX_PATTERN or is_costly:
        raise InvalidInput(
            "the expression is too long, or its repeats could take for ever",
            hint="search for words, or simplify it",
        )
    try:
        compiled = re.compile(pattern, re.IGNORECASE)
    except (re.error, RecursionError, OverflowError) as error:
        raise InvalidInput(f"the regular expression is not valid: {error}") from None
    return lambda text: any(compiled.search(line[:MAX_LINE]) for line in text.splitlines())
