"""
Hooks a plugin may implement. Each is used by a plugin of this repository.

    from commander.plugin.hookspecs import hookimpl

    @hookimpl
    def commander_commands() -> list[Command | Group]:
        return [Command(...), ...]

A plugin is a module with such functions, named in the entry point group
`commander.plugins`. It is imported at every start of the shell: keep it to
declarations, and put the work in the modules that the handlers name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from commander.plugin.command import ArgumentKind, Command, Group
    from commander.plugin.context import Context

PROJECT = "commander"

CompletionSource = Callable[["Context"], Iterable[str]]

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def commander_commands() -> list[Command | Group]:
    """Declare commands and groups; called once at start."""
    raise AssertionError("a specification is never called")


@hookspec
def commander_completions() -> Mapping[ArgumentKind, CompletionSource | str]:
    """
    Give the values that completion offers for a kind of argument.

    A source is a function or "module:function", called on key strokes: it reads
    what is in memory, never the network, and returns quickly. What it raises
    means no candidates.
    """
    raise AssertionError("a specification is never called")
