from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable
from typing import cast

from commander.errors import CommanderError
from commander.plugin.command import Arguments, Command
from commander.plugin.context import Context
from commander.plugin.results import Result

Handler = Callable[[Context, Arguments], Awaitable[Result | None]]


def resolve_handler(command: Command) -> Handler:
    """
    Import what a command's handler string names.

    Raises CommanderError when the module cannot be imported or has no such function:
    a broken plugin is an error of that command, not of the shell.
    """
    module_name, _, function_name = command.handler.partition(":")
    try:
        found = getattr(importlib.import_module(module_name), function_name, None)
    except ImportError as error:
        raise CommanderError(
            f"{command.path} cannot be loaded: {error.name or module_name} is missing",
            hint="reinstall, or disable the plugin in config.yaml",
        ) from error
    if not callable(found):
        raise CommanderError(f"{command.path} cannot be loaded: {command.handler} does not exist")
    return cast(Handler, found)
