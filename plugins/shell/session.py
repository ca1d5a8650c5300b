from __future__ import annotations

import asyncio
import platform
from collections.abc import Iterable

from commander import __version__
from commander.errors import UsageError
from commander.plugin.command import Arguments
from commander.plugin.context import Context
from commander.plugin.results import Column, Document, Plain, Result, Table, Text

MAX_SLEEP_S = 86_400


async def sleep(context: Context, arguments: Arguments) -> None:
    """Wait; Ctrl-C ends it."""
    seconds = arguments.integer("duration")
    if seconds > MAX_SLEEP_S:
        raise UsageError(f"{seconds} s is longer than a day", hint="use a scheduler")
    await asyncio.sleep(seconds)


async def show_help(context: Context, arguments: Arguments) -> Result:
    """Explain a command or group, or list everything."""
    return Text(context.shell.help(arguments.texts("topic")))


async def show_history(context: Context, arguments: Arguments) -> Result:
    """List lines, oldest first, with their numbers."""
    lines = list(enumerate(context.shell.history(), start=1))
    limit = arguments.integer_or_none("limit")
    if limit is not None:
        lines = lines[-limit:] if limit > 0 else []
    rows: list[dict[str, Plain]] = [{"number": number, "line": line} for number, line in lines]
    return Table((Column("number", "#"), Column("line")), rows, empty="no lines yet")


async def show_version(context: Context, arguments: Arguments) -> Result:
    """Say which program this is."""
    values = {"version": __version__, "python": platform.python_version()}
    return Document(values, text=f"commander {__version__}")


async def leave(context: Context, arguments: Arguments) -> None:
    """Leave the session or end the batch."""
    context.shell.quit()


def command_words(context: Context) -> Iterable[str]:
    """First words of all commands, for completion of `help`."""
    return sorted({command.words[0] for command in context.shell.commands()})
