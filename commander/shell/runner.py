"""Runs lines: lexing, variables, one statement after the other, interruption, error reports."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping, Sequence

from commander.errors import CommanderError, Interrupted
from commander.shell.console import OutputClosed
from commander.shell.context import ShellContext
from commander.shell.dispatch import Dispatcher, wanted_format
from commander.shell.lexer import expand, lex
from commander.shell.output.failures import CommandFailed, LineFailed, error_json, error_text
from commander.tasks import spawn

_log = logging.getLogger(__name__)


class InternalFault(CommanderError):
    """A command raised what it must not: kept as cause, shown by type and place only."""

    default_code = "internal"


class Runner:
    """
    Runs statements in the context, one at a time.

    `interrupt` (Ctrl-C) cancels the running one, which then fails with
    Interrupted; what it had opened is closed by its own cleanup.
    """

    def __init__(
        self, dispatcher: Dispatcher, context: ShellContext, environment: Mapping[str, str]
    ) -> None:
        self._dispatcher = dispatcher
        self._context = context
        self._environment = environment
        self._current: asyncio.Task[None] | None = None
        self._is_interrupted = False
        # The format that errors of the line in hand are shown in.
        self._format = dispatcher.default_format

    @property
    def default_format(self) -> str:
        """The form of results and errors of lines that ask for none."""
        return self._dispatcher.default_format

    @default_format.setter
    def default_format(self, format: str) -> None:
        self._dispatcher.default_format = format

    def interrupt(self) -> bool:
        """Cancel the running command; False when none is running."""
        if self._current is None or self._current.done():
            return False
        self._is_interrupted = True
        self._current.cancel()
        return True

    async def run_line(self, line: str, *, dry_run: bool = False) -> None:
        """
        Read a whole line first, then run its statements until one fails.

        Raises CommanderError only.
        """
        self._format = self._dispatcher.default_format
        for statement in lex(line):
            words = expand(statement, self._context.variables.all(), self._environment)
            await self.run_words(words, dry_run=dry_run)

    async def run_words(self, words: Sequence[str], *, dry_run: bool = False) -> None:
        """Run one command in a task of its own. Raises CommanderError only."""
        self._format = wanted_format(words, self._dispatcher.default_format)
        if self._current is not None and not self._current.done():
            # `run FILE` in a session: its lines run inside its task, and Ctrl-C ends them all.
            await self._guarded(words, dry_run=dry_run)
            return
        self._is_interrupted = False
        task = spawn(self._guarded(words, dry_run=dry_run), name="command")
        self._current = task
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.wait({task})
            raise
        finally:
            self._current = None
        if task.cancelled() or (self._is_interrupted and task.exception() is not None):
            raise Interrupted("interrupted")
        await task

    async def _guarded(self, words: Sequence[str], *, dry_run: bool) -> None:
        try:
            await self._dispatcher.run(words, dry_run=dry_run)
        except CommanderError:
            raise
        except OSError as error:
            raise _from_system(error) from error
        except Exception as error:
            _log.debug("command failed unexpectedly", exc_info=error)
            raise InternalFault(f"internal fault {type(error).__name__}") from error

    def report(self, error: CommanderError) -> None:
        """Show an error on stderr, in the format of the line that failed."""
        root = _root(error)
        if isinstance(root, CommandFailed | OutputClosed):
            # The command has said what it had to say, or nobody listens.
            return
        as_json = self._format == "json"
        if isinstance(root, InternalFault) and root.__cause__ is not None and not as_json:
            self._context.console.failure(error_text(root.__cause__))
            return
        self._context.console.failure(error_json(error) if as_json else error_text(error))


def _root(error: CommanderError) -> CommanderError:
    while isinstance(error, LineFailed):
        error = error.cause
    return error


def _from_system(error: OSError) -> CommanderError:
    reason = os.strerror(error.errno) if error.errno else type(error).__name__
    place = f"{error.filename}: " if isinstance(error.filename, str) else ""
    return CommanderError(f"{place}{reason}")
