"""What a plugin may declare; checked when it is loaded, so that a mistake is not met by a user."""

from __future__ import annotations

import importlib.util
import re

from commander.errors import CommanderError
from commander.plugin.command import Argument, ArgumentKind, Command, Group
from commander.plugin.common_flags import HELP

_WORD = re.compile(r"[a-z0-9][a-z0-9-]{0,39}\Z")
_HANDLER = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*\Z")
_FLAG = re.compile(r"--?[A-Za-z0-9][A-Za-z0-9-]*\Z")
_POSITIONAL = re.compile(r"[a-z][a-z0-9_-]*\Z")


class BadDeclaration(CommanderError):
    """A plugin declares something that cannot work; the plugin is not loaded."""


def check_declaration(item: Command | Group) -> None:
    """Raise BadDeclaration that names the command and what is wrong with it."""
    for name in (item.path, *item.aliases):
        for word in name.split() or [""]:
            _require(bool(_WORD.match(word)), item.path, f"{name!r} is not a command name")
    if isinstance(item, Group):
        return
    _require(bool(item.summary), item.path, "it has no summary")
    _require(item.example.strip() != "", item.path, "it has no example")
    _check_handler(item)
    _check_arguments(item)


def _check_handler(command: Command) -> None:
    handler = command.handler
    _require(bool(_HANDLER.match(handler)), command.path, f"{handler!r} is not module:function")
    module = handler.partition(":")[0]
    try:
        found = importlib.util.find_spec(module)
    except ImportError:
        found = None
    _require(found is not None, command.path, f"module {module} does not exist")


def _check_arguments(command: Command) -> None:
    seen_names: set[str] = set(HELP.names)
    seen_keys: set[str] = {HELP.key}
    for argument in command.arguments:
        _check_argument(command, argument)
        for name in argument.names:
            _require(name not in seen_names, command.path, f"{name} is declared twice or common")
            seen_names.add(name)
        _require(argument.key not in seen_keys, command.path, f"key {argument.key} is used twice")
        seen_keys.add(argument.key)
    for group in command.exclusive:
        for key in group:
            _require(key in seen_keys, command.path, f"exclusive names an unknown key {key!r}")
    repeated = [a for a in command.arguments if a.is_positional and a.repeat]
    _require(len(repeated) <= 1, command.path, "two positionals repeat")


def _check_argument(command: Command, argument: Argument) -> None:
    path = command.path
    _require(bool(argument.names), path, "an argument has no name")
    form = _POSITIONAL if argument.is_positional else _FLAG
    for name in argument.names:
        _require(bool(form.match(name)), path, f"{name!r} is not an argument name")
    if argument.is_positional:
        _require(len(argument.names) == 1, path, f"positional {argument.names[0]} has two names")
    _require(bool(argument.help), path, f"{argument.names[0]} has no help")
    is_choice = argument.kind is ArgumentKind.CHOICE
    _require(is_choice == bool(argument.choices), path, f"{argument.names[0]}: choices and kind")


def _require(is_right: bool, path: str, problem: str) -> None:
    if not is_right:
        raise BadDeclaration(f"command {path!r}: {problem}")
