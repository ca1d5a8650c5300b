"""Help text, made from the declarations with argparse; colour (rich) only when it is asked for."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Sequence
from typing import Any

from commander.plugin.command import Argument, ArgumentKind, Command
from commander.plugin.common_flags import all_arguments
from commander.plugin.registry import Registry

_MIN_WIDTH = 40


def command_help(command: Command, *, width: int = 100, colour: bool = False) -> str:
    """The manual of one command: usage, arguments, example, aliases."""
    parser = build_help_parser(command, width=width, colour=colour)
    return parser.format_help()


def build_help_parser(command: Command, *, width: int, colour: bool) -> argparse.ArgumentParser:
    """An argparse parser with the command's arguments, for its help and usage text only."""
    parser = argparse.ArgumentParser(
        prog=command.path,
        description=command.description or command.summary,
        epilog=_epilog(command),
        add_help=False,
        allow_abbrev=False,
        formatter_class=_formatter(max(width, _MIN_WIDTH), colour=colour),
    )
    for argument in all_arguments(command):
        if argument.kind is ArgumentKind.REST:
            parser.add_argument("--", dest=argument.key, nargs="...", metavar="WORD",
                                help=_percent(argument.help))  # fmt: skip
        else:
            parser.add_argument(*argument.names, **_options(argument))
    return parser


def _options(argument: Argument) -> dict[str, Any]:
    options: dict[str, Any] = {"help": _percent(argument.help)}
    if argument.kind is ArgumentKind.FLAG:
        options["action"] = "store_true"
        return options
    if argument.choices:
        options["choices"] = argument.choices
    options["metavar"] = argument.metavar or _metavar(argument)
    if argument.is_positional:
        if argument.repeat:
            options["nargs"] = "+" if argument.required else "*"
        elif not argument.required:
            options["nargs"] = "?"
    else:
        options["required"] = argument.required
        options["action"] = "append" if argument.repeat else "store"
    if argument.default is not None:
        options["help"] += f" (default: {_percent(str(argument.default))})"
    return options


def _metavar(argument: Argument) -> str:
    if argument.choices:
        return "{" + ",".join(argument.choices) + "}"
    if argument.is_positional:
        return argument.names[0].upper()
    if argument.kind is ArgumentKind.TEXT:
        return "TEXT"
    return argument.kind.name.replace("_", "-")


def _percent(text: str) -> str:
    # argparse expands % in every text it is given.
    return text.replace("%", "%%")


def _epilog(command: Command) -> str:
    lines = [f"example: {command.example}"]
    if command.aliases:
        lines.append(f"also: {', '.join(command.aliases)}")
    return "\n".join(lines)


def _formatter(width: int, *, colour: bool) -> Any:
    if colour:
        # rich takes longer to import than most commands run; help on a terminal can wait for it.
        rich = importlib.import_module("rich_argparse")
        base: Any = rich.RawDescriptionRichHelpFormatter
    else:
        base = argparse.RawDescriptionHelpFormatter

    def make(prog: str) -> Any:
        return base(prog, width=width, max_help_position=32)

    return make


def group_help(registry: Registry, path: Sequence[str]) -> str:
    """The commands and groups directly under a group; () is the overview of everything."""
    children = registry.children(tuple(path))
    title = " ".join(path)
    group = registry.group(tuple(path))
    lines = [f"{title}: {group.summary}" if group and group.summary else title] if path else []
    size = max((len(name) for name, _ in children), default=0)
    for name, item in children:
        summary = item.summary or _subcommands(registry, (*path, name))
        lines.append(f"  {name.ljust(size)}  {summary}".rstrip())
    lines.append("")
    lines.append(f"`{title} COMMAND -h` shows more" if path else "`COMMAND -h` shows more")
    return "\n".join(lines)


def _subcommands(registry: Registry, path: Sequence[str]) -> str:
    return ", ".join(name for name, _ in registry.children(tuple(path)))
