"""All commands as a tree of words: exact lookup with aliases, groups, nearest names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from commander.errors import CommanderError
from commander.plugin.command import Command, Group

Path = tuple[str, ...]

# Comparing takes time with the length; no command name is as long as this.
_MAX_TYPED = 60


class Duplicate(CommanderError):
    """Two plugins claim the same command name or alias."""


@dataclass(frozen=True)
class Match:
    """
    What the first words of a line name.

    `length` words are used up. `command` is None when they only name a group
    (`path` is its full path) or nothing at all (`length` 0).
    """

    path: Path
    command: Command | None
    length: int


class Registry:
    """The commands of all loaded plugins."""

    def __init__(self) -> None:
        self._commands: dict[Path, Command] = {}
        self._groups: dict[Path, Group] = {}
        self._aliases: dict[Path, Path] = {}
        self._owners: dict[Path, str] = {}

    def add(self, plugin: str, declared: Iterable[Command | Group]) -> None:
        """
        Take a plugin's commands, all or none.

        Raises Duplicate when a name or alias is taken. Groups may be declared by
        several plugins; the first one's summary stays.
        """
        items = list(declared)
        taken = dict(self._owners)
        for item in items:
            for name in self._claims(item):
                if name in taken:
                    raise Duplicate(
                        f"command {' '.join(name)!r} of plugin {plugin} is taken by {taken[name]}"
                    )
                taken[name] = plugin
        self._owners = taken
        for item in items:
            self._store(item)

    def _claims(self, item: Command | Group) -> list[Path]:
        aliases = [tuple(alias.split()) for alias in item.aliases]
        if isinstance(item, Command):
            return [item.words, *aliases]
        own = tuple(item.path.split())
        return [alias for alias in aliases if self._aliases.get(alias) != own]

    def _store(self, item: Command | Group) -> None:
        path = tuple(item.path.split())
        if isinstance(item, Command):
            self._commands[path] = item
        else:
            self._groups.setdefault(path, item)
        for length in range(1, len(path)):
            prefix = path[:length]
            self._groups.setdefault(prefix, Group(" ".join(prefix), summary=""))
        for alias in item.aliases:
            self._aliases[tuple(alias.split())] = path

    def commands(self) -> list[Command]:
        """All commands, sorted by path."""
        return [self._commands[path] for path in sorted(self._commands)]

    def owner(self, command: Command) -> str:
        """The plugin that declared a command."""
        return self._owners[command.words]

    def find(self, words: Sequence[str]) -> Match:
        """Match the longest command or group that the first words name."""
        current: Path = ()
        best = Match((), None, 0)
        for length, word in enumerate(words, start=1):
            step = (*current, word)
            step = self._aliases.get(step, step)
            if step in self._commands:
                best = Match(step, self._commands[step], length)
            elif step in self._groups:
                # A command may have sub-commands of its own; its arguments win over nothing.
                best = Match(step, None, length)
            else:
                break
            current = step
        return best

    def children(self, path: Path) -> list[tuple[str, Command | Group]]:
        """The next words under a group, sorted, without aliases; () is the top."""
        found: dict[str, Command | Group] = {}
        size = len(path) + 1
        for groups in (self._groups, self._commands):
            for known, item in groups.items():
                if len(known) == size and known[:-1] == path:
                    found[known[-1]] = item
        return sorted(found.items())

    def next_words(self, words: Sequence[str]) -> list[str]:
        """What may follow these words, aliases included; empty when they are not a group."""
        match = self.find(words)
        if match.length != len(words):
            return []
        names = {name for name, _ in self.children(match.path)}
        prefixes = {match.path, tuple(words)}
        for alias in self._aliases:
            if alias[:-1] in prefixes:
                names.add(alias[-1])
        return sorted(names)

    def group(self, path: Path) -> Group | None:
        """The group of a path, if it is one."""
        return self._groups.get(path)

    def nearest(self, words: Sequence[str]) -> list[str]:
        """Names close to what was typed, best first; for an error message, never to run."""
        match = self.find(words)
        typed = words[match.length][:_MAX_TYPED].lower() if match.length < len(words) else ""
        prefix = " ".join((*match.path, ""))
        names = self.next_words(words[: match.length])
        near = [prefix + name for name in difflib.get_close_matches(typed, names)]
        if match.length:
            return near or [prefix + name for name in names][:8]
        # `tunnel start` may be meant for `pam tunnel start`.
        whole = " ".join(words)[:_MAX_TYPED].lower()
        paths = [" ".join(path) for path in self._commands if len(path) > 1]
        return near or difflib.get_close_matches(whole, paths)
