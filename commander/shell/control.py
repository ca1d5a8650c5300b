"""The `ShellControl` port: the shell as its own commands see it."""

from __future__ import annotations

from collections.abc import Sequence

from commander.plugin.command import Command
from commander.shell.batch import Batch
from commander.shell.dispatch import Dispatcher
from commander.shell.history import History


class Control:
    """Joins dispatcher, batch and history for the commands that are about them."""

    def __init__(self, dispatcher: Dispatcher, batch: Batch, history: History) -> None:
        self._dispatcher = dispatcher
        self._batch = batch
        self._history = history
        self.is_quit_asked = False

    def commands(self) -> Sequence[Command]:
        """All commands, sorted by path."""
        return self._dispatcher.registry.commands()

    def help(self, words: Sequence[str]) -> str:
        """Help for a command or group."""
        return self._dispatcher.help(words)

    def history(self) -> Sequence[str]:
        """Lines of this session and earlier ones."""
        return self._history.lines()

    async def run_file(
        self, path: str, *, keep_going: bool, dry_run: bool, trust_file: bool, format: str
    ) -> None:
        """Run a batch file as part of this session."""
        await self._batch.run_file(
            path, keep_going=keep_going, dry_run=dry_run, trust_file=trust_file, format=format
        )

    def quit(self) -> None:
        """End the batch if one is running, else the session."""
        if self._batch.is_running:
            self._batch.stop()
        else:
            self.is_quit_asked = True
