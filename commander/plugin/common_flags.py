"""Flags that the shell adds to every command, so that no plugin declares them again."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from commander.plugin.command import (
    OUTPUT_FORMATS,
    Argument,
    ArgumentKind,
    Command,
    flag,
    option,
)

HELP = flag("--help", "-h", help="show this help")
FORMAT = option("--format", choices=OUTPUT_FORMATS, help="form of the result (default: table)")
OUTPUT = option(
    "--output", kind=ArgumentKind.PATH, metavar="FILE", help="write the result to a new file, 0600"
)
COLUMNS = option("--columns", metavar="A,B", help="only these columns, in this order")
FORCE_OUTPUT = flag("--force", help="let --output replace a file")
FORCE = flag("--force", "-f", help="do not ask")


@cache
def all_arguments(command: Command) -> tuple[Argument, ...]:
    """The command's own arguments and the common ones; own spellings win over common ones."""
    common = [HELP, FORMAT]
    if command.destructive:
        common.append(FORCE)
    if command.listing:
        common += [OUTPUT, COLUMNS] if command.destructive else [OUTPUT, COLUMNS, FORCE_OUTPUT]
    own_names = {name for argument in command.arguments for name in argument.names}
    own_keys = {argument.key for argument in command.arguments}
    kept = [_without(argument, own_names) for argument in common if argument.key not in own_keys]
    return command.arguments + tuple(kept)


def _without(argument: Argument, taken: set[str]) -> Argument:
    names = tuple(name for name in argument.names if name not in taken)
    return replace(argument, names=names)
