from __future__ import annotations

from collections.abc import Iterable

from commander.plugin.command import Arguments
from commander.plugin.context import Context
from commander.plugin.results import Column, Result, Table, Text


async def set_variable(context: Context, arguments: Arguments) -> None:
    """Set a variable of this session."""
    context.variables.set(arguments.text("name"), arguments.text("value"))


async def echo(context: Context, arguments: Arguments) -> Result:
    """Print the words with a space between, or list the variables when there are none."""
    words = arguments.texts("words")
    if words:
        return Text(" ".join(words))
    rows = [{"name": name, "value": value} for name, value in context.variables.all().items()]
    return Table((Column("name"), Column("value")), rows, empty="no variables are set")


def variable_names(context: Context) -> Iterable[str]:
    """Names for completion."""
    return context.variables.all()
