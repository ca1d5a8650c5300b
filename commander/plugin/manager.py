"""
Loads plugins one by one and collects what they declare.

A plugin that fails is named with its reason and left out; the others and the shell go on.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pluggy

from commander.errors import CommanderError
from commander.plugin import hookspecs
from commander.plugin.command import ArgumentKind, Command, Group
from commander.plugin.context import Context
from commander.plugin.hookspecs import PROJECT, CompletionSource
from commander.plugin.loader import PluginSource, check_file
from commander.plugin.registry import Registry
from commander.plugin.validation import BadDeclaration, check_declaration

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Failure:
    """A plugin that was not loaded, and why."""

    plugin: str
    reason: str


class Plugins:
    """The loaded plugins: their commands, completion sources, and the ones that failed."""

    def __init__(self) -> None:
        self._manager = pluggy.PluginManager(PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self._sources: dict[ArgumentKind, CompletionSource | str] = {}
        self.registry = Registry()
        self.failures: list[Failure] = []

    def load(self, sources: Iterable[PluginSource], *, disabled: Iterable[str] = ()) -> None:
        """Import and register plugins in order; earlier ones keep names that later ones claim."""
        skipped = set(disabled)
        for source in sources:
            if source.name not in skipped:
                self._load_one(source)

    def _load_one(self, source: PluginSource) -> None:
        try:
            check_file(source)
            self.register(source.name, importlib.import_module(source.module))
        except CommanderError as error:
            self._failed(source.name, error.message)
        except Exception as error:  # noqa: BLE001  # the border to code that is not ours
            _log.debug("plugin %s failed to load", source.name, exc_info=error)
            self._failed(source.name, f"{type(error).__name__} while it was loaded")

    def _failed(self, name: str, reason: str) -> None:
        self.failures.append(Failure(name, reason))

    def register(self, name: str, plugin: object) -> None:
        """
        Take one plugin object with hook functions, all it declares or nothing.

        Raises CommanderError for a bad or duplicate declaration; what the plugin
        itself raises passes through.
        """
        self._manager.register(plugin, name)
        try:
            self._manager.check_pending()
            self._collect_completions(name)
            self._collect_commands(name)
        except BaseException:
            self._manager.unregister(plugin)
            raise

    def _collect_commands(self, name: str) -> None:
        declared = self._call(name, "commander_commands")
        items = list(declared or [])
        for item in items:
            if not isinstance(item, Command | Group):
                raise BadDeclaration(f"plugin {name} declares {type(item).__name__}, no command")
            check_declaration(item)
        self.registry.add(name, items)

    def _collect_completions(self, name: str) -> None:
        for kind, source in dict(self._call(name, "commander_completions") or {}).items():
            self._sources.setdefault(kind, source)

    def _call(self, name: str, hook: str) -> Any:
        # One plugin at a time: a hook call over all of them would end at the first that raises.
        others = [plugin for other, plugin in self._manager.list_name_plugin() if other != name]
        results = self._manager.subset_hook_caller(hook, remove_plugins=others)()
        return results[0] if results else None

    def completion_candidates(self, kind: ArgumentKind, context: Context) -> Iterable[str]:
        """Values for a kind of argument; empty when no plugin knows any or its source fails."""
        source = self._sources.get(kind)
        if source is None:
            return ()
        try:
            return _resolve(source)(context)
        except Exception as error:  # noqa: BLE001  # a key stroke must not end the session
            _log.debug("completion of %s failed", kind.value, exc_info=error)
            return ()

    def sources(self) -> Mapping[ArgumentKind, CompletionSource | str]:
        """Which kinds of argument have a source."""
        return dict(self._sources)


def _resolve(source: CompletionSource | str) -> CompletionSource:
    if not isinstance(source, str):
        return source
    module, _, function = source.partition(":")
    found: CompletionSource = getattr(importlib.import_module(module), function)
    return found
