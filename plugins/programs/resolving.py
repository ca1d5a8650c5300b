"""Finding in the vault what notations name."""

from __future__ import annotations

from collections.abc import Iterable

from commander.errors import CommanderError, Conflict, InvalidInput, NotFound
from commander.ksm.notation import Notation, Selector, select, value_text
from commander.plugin.attachments import read_whole
from commander.plugin.context import Context
from commander.vault import attachments
from commander.vault.replica import OpenRecord
from commander.vault.session import Vault

MAX_CANDIDATES = 10
MAX_FILE = 1024 * 1024


def find_named(vault: Vault, notation: Notation) -> OpenRecord:
    """A record by UID or exact title, as SDKs look for it. Raises NotFound, Conflict."""
    records = vault.view.records
    if notation.record in records:
        return records[notation.record]
    found = [record for record in records.values() if record.data.title == notation.record]
    if not found:
        raise NotFound(f"no record {notation.record[:80]!r}", hint="search shows titles and UIDs")
    if len(found) > 1:
        shown = ", ".join(record.uid for record in found[:MAX_CANDIDATES])
        raise Conflict(
            f"{notation.record[:80]!r} names {len(found)} records: {shown}", hint="use the UID"
        )
    return found[0]


async def find_value(context: Context, notation: Notation) -> str:
    """The value of one notation as text. Raises NotFound, Conflict, InvalidInput, Tampered."""
    record = find_named(context.vault, notation)
    if notation.selector is not Selector.FILE:
        return value_text(select(record.data.content, notation))
    found = await attachments.list_of(context.vault, record)
    chosen = attachments.choose(found, notation.name)
    data = await read_whole(context, chosen, limit=MAX_FILE)
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise InvalidInput(
            f"attachment {chosen.name!r} is not UTF-8 text",
            hint="download-attachment writes it to a file",
        ) from None


async def find_values(
    context: Context, wanted: Iterable[tuple[str, Notation]]
) -> dict[Notation, str]:
    """The values of notations, each asked for by something with a name (a variable, a file)."""
    values: dict[Notation, str] = {}
    for name, notation in wanted:
        if notation not in values:
            try:
                values[notation] = await find_value(context, notation)
            except CommanderError as error:
                error.message = f"{name}: {error.message}"
                raise
    return values
