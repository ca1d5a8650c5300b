"""Words to a running command: find it, read its arguments, check what it needs, show its result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from commander.errors import UsageError
from commander.plugin.command import OUTPUT_FORMATS, Arguments, Command
from commander.plugin.handler import resolve_handler
from commander.plugin.help import command_help, group_help
from commander.plugin.manager import Plugins
from commander.plugin.parser import asks_for_help, parse_arguments
from commander.plugin.registry import Registry
from commander.plugin.results import Exited, Result
from commander.shell.context import ShellContext
from commander.shell.output.failures import CommandFailed
from commander.shell.output.gate import escape_line
from commander.shell.output.render import Wanted, render, save, shown_part
from commander.shell.terminal import Terminal

_HELP_FLAGS = ("-h", "--help")


@dataclass(frozen=True)
class Call:
    """A command and the words after its name."""

    command: Command
    words: tuple[str, ...]


@dataclass(frozen=True)
class HelpWanted:
    """Help for a command, or for a group by its path."""

    command: Command | None
    path: tuple[str, ...]


def resolve(registry: Registry, words: Sequence[str]) -> Call | HelpWanted:
    """
    Say what a line asks for. Raises UsageError for an unknown command, with near names.

    A group alone asks for its list of commands. The nearest name is never run.
    """
    match = registry.find(words)
    rest = tuple(words[match.length :])
    if match.command is not None:
        if asks_for_help(match.command, rest):
            return HelpWanted(match.command, match.path)
        return Call(match.command, rest)
    if (match.length or not words) and not rest:
        return HelpWanted(None, match.path)
    if rest[0] in _HELP_FLAGS:
        return HelpWanted(None, match.path)
    raise unknown_command(registry, words)


def unknown_command(registry: Registry, words: Sequence[str]) -> UsageError:
    """The error for words that name no command, with what they may have been meant to be."""
    match = registry.find(words)
    typed = " ".join([*words[: match.length], words[match.length]])
    near = registry.nearest(words)
    hint = f"did you mean: {'; '.join(near)}?" if near else "`help` lists the commands"
    return UsageError(f"unknown command {escape_line(typed[:80])!r}", hint=hint)


def wanted_format(words: Sequence[str], default: str) -> str:
    """The output format that words ask for, even when they are otherwise wrong."""
    for place, word in enumerate(words):
        if word == "--":
            break
        name, equals, value = word.partition("=")
        if name == "--format":
            value = value if equals else "".join(words[place + 1 : place + 2])
            return value if value in OUTPUT_FORMATS else default
    return default


class Dispatcher:
    """Runs one list of words after the other in a context."""

    def __init__(
        self, plugins: Plugins, context: ShellContext, terminal: Terminal, default_format: str
    ) -> None:
        self._plugins = plugins
        self._context = context
        self._terminal = terminal
        self.default_format = default_format

    @property
    def registry(self) -> Registry:
        """All commands."""
        return self._plugins.registry

    async def run(self, words: Sequence[str], *, dry_run: bool = False) -> None:
        """
        Run a command and show its result on stdout.

        With `dry_run` everything is found and checked and nothing is run.
        Raises CommanderError; what a plugin raises beside that passes through.
        """
        target = resolve(self.registry, words)
        if isinstance(target, HelpWanted):
            if not dry_run:
                self._context.console.result(self._help_text(target))
            return
        command = target.command
        arguments = parse_arguments(command, target.words, default_format=self.default_format)
        handler = resolve_handler(command)
        if dry_run and not command.runs_dry:
            return
        self._check_force(command, arguments)
        if command.needs_login:
            await self._context.require_login()
        result = await handler(self._context, arguments)
        self._show(command, result, arguments)

    def _check_force(self, command: Command, arguments: Arguments) -> None:
        if not command.destructive or arguments.flag("force"):
            return
        if not self._context.console.is_interactive:
            raise UsageError(
                f"{command.path} asks before it acts, and there is no terminal",
                hint="-f goes on unasked",
            )

    def _show(self, command: Command, result: Result | None, arguments: Arguments) -> None:
        self._context.console.clear_progress()
        shown = shown_part(result)
        if shown is not None:
            wanted = _wanted(command, arguments)
            text = render(shown, wanted, self._terminal)
            if wanted.file is not None:
                self._context.console.notice(save(text, wanted))
            else:
                self._context.console.result(text)
        if isinstance(result, Exited) and result.code != 0:
            raise CommandFailed(result.code)

    def help(self, words: Sequence[str]) -> str:
        """Help for a command or group. Raises UsageError for anything else."""
        match = self.registry.find(words)
        if match.length != len(words):
            raise unknown_command(self.registry, words)
        return self._help_text(HelpWanted(match.command, match.path))

    def _help_text(self, wanted: HelpWanted) -> str:
        if wanted.command is None:
            return group_help(self.registry, wanted.path) + "\n"
        return command_help(
            wanted.command, width=self._terminal.width, colour=self._terminal.colour
        )


def _wanted(command: Command, arguments: Arguments) -> Wanted:
    if not command.listing:
        return Wanted(format=arguments.format)
    columns = tuple(
        name.strip()
        for name in (arguments.text_or_none("columns") or "").split(",")
        if name.strip()
    )
    file = arguments.text_or_none("output")
    return Wanted(
        format=arguments.format,
        columns=columns,
        file=Path(file) if file is not None else None,
        force=arguments.flag("force"),
    )
