"""The interactive session: read a line, run it, go on whatever it did."""

from __future__ import annotations

import importlib
from typing import Any

from commander.errors import CommanderError, Interrupted, NotLoggedIn
from commander.plugin.manager import Plugins
from commander.shell.context import ShellContext
from commander.shell.control import Control
from commander.shell.history import History
from commander.shell.prompt_text import prompt_text, status_text
from commander.shell.runner import Runner
from commander.shell.terminal import Terminal

WELCOME = "Commander {version}. `help` lists the commands, `quit` leaves."


class Repl:
    """One session on a terminal; `run` returns its exit code."""

    def __init__(
        self,
        plugins: Plugins,
        context: ShellContext,
        runner: Runner,
        control: Control,
        history: History,
        terminal: Terminal,
    ) -> None:
        self._plugins = plugins
        self._context = context
        self._runner = runner
        self._control = control
        self._history = history
        self._terminal = terminal

    async def run(self, version: str) -> int:
        """Read and run lines until the user leaves."""
        editor = self._make_editor()
        self._context.console.notice(WELCOME.format(version=version))
        await self._resume()
        while True:
            line = await self._read(editor)
            if line is not None and line.strip():
                self._history.add(line)
                await self._run_line(line)
            if (line is None or self._control.is_quit_asked) and await self._may_leave():
                return 0

    def _make_editor(self) -> Any:
        # prompt_toolkit takes longer to import than most one-shot commands run.
        module: Any = importlib.import_module("commander.shell.line_editor")
        return module.LineEditor(
            self._plugins.registry,
            lambda kind: self._plugins.completion_candidates(kind, self._context),
            self._history,
            self._status,
            use_vi=self._context.config.editing == "vi",
            use_colour=self._terminal.colour,
        )

    async def _resume(self) -> None:
        try:
            await self._context.require_login()
        except NotLoggedIn:
            # The prompt says so.
            return
        except CommanderError as error:
            self._runner.report(error)

    def _status(self) -> str:
        context = self._context
        return status_text(context.user_name, context.server, context.tunnels.open_count())

    async def _read(self, editor: Any) -> str | None:
        """A line, empty after Ctrl-C, None after Ctrl-D."""
        context = self._context
        prompt = prompt_text(
            context.config.vault_name, context.location.path, is_logged_in=context.is_logged_in
        )
        try:
            line: str = await editor.read(prompt)
        except KeyboardInterrupt:
            return ""
        except EOFError:
            return None
        return line

    async def _run_line(self, line: str) -> None:
        try:
            await self._runner.run_line(line)
        except CommanderError as error:
            self._runner.report(error)

    async def _may_leave(self) -> bool:
        self._control.is_quit_asked = False
        count = self._context.tunnels.open_count()
        if count == 0:
            return True
        noun = "tunnel is" if count == 1 else "tunnels are"
        console = self._context.console
        try:
            # Without a terminal there is nobody to ask: leaving stops them.
            force = not console.is_interactive
            await console.confirm(f"{count} {noun} open; stop and leave?", force=force)
        except Interrupted:
            return False
        return True
