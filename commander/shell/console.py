"""The `Console` port over the process's streams."""

from __future__ import annotations

import asyncio
import errno
import importlib
import os
import sys
import threading
from typing import IO, Any, AnyStr

from commander.errors import CommanderError, Interrupted, InvalidInput, UsageError
from commander.plugin.results import Result
from commander.secret import Secret
from commander.shell.output.gate import escape_line, escape_text
from commander.shell.output.machine import render_json
from commander.shell.output.render import Wanted, render, shown_part
from commander.shell.terminal import Terminal

_CLEAR_LINE = "\r\x1b[K"
_YES = ("y", "yes")
_READ_STEP = 64 * 1024


class OutputClosed(Interrupted):
    """The reader of stdout is gone (`| head`) or the terminal is; there is nobody to tell."""

    # What a shell reports for a program that SIGPIPE ended.
    exit_code = 141


class StreamConsole:
    """
    Talks through stderr and asks on the terminal.

    The streams are looked up at each call, because the session replaces them
    while a line is being typed (so that notices print above the prompt).
    """

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._has_progress = False
        self._stdin_used = False

    @property
    def is_interactive(self) -> bool:
        """Whether somebody can answer a question."""
        return self._terminal.is_interactive and not self._stdin_used

    def notice(self, text: str) -> None:
        """Say something on stderr."""
        self._write(sys.stderr, escape_text(text) + "\n")

    def progress(self, text: str) -> None:
        """Show one line that the next output replaces; nothing without a capable terminal."""
        if self._terminal.stderr and not self._terminal.is_dumb:
            self.clear_progress()
            sys.stderr.write(escape_line(text)[: self._terminal.width - 1])
            sys.stderr.flush()
            self._has_progress = True

    def clear_progress(self) -> None:
        """Take the progress line away, if one is shown."""
        if self._has_progress:
            sys.stderr.write(_CLEAR_LINE)
            sys.stderr.flush()
            self._has_progress = False

    def emit(self, text: str) -> None:
        """Write a line of a result that has no end to stdout."""
        self._write(sys.stdout, escape_text(text) + "\n")

    def show(self, result: Result, format: str) -> None:
        """Render and write a result to stdout; JSON in one line, so that a reader knows its end."""
        shown = shown_part(result)
        if shown is None:
            return
        if format == "json":
            self.result(render_json(shown, one_line=True))
        else:
            self.result(render(shown, Wanted(format=format), self._terminal))

    def emit_data(self, data: bytes) -> None:
        """Write bytes of a result to stdout; a terminal gets them escaped."""
        if self._terminal.stdout:
            self._write(sys.stdout, escape_text(data.decode("utf-8", "backslashreplace")))
            return
        # Past the text layer, which would change line ends and what is no UTF-8.
        self._write(sys.stdout, "")
        self._write(sys.stdout.buffer, data)

    def result(self, text: str) -> None:
        """Write a rendered result to stdout; it has passed the gate already."""
        self._write(sys.stdout, text)

    def failure(self, text: str) -> None:
        """Write a rendered error to stderr; it has passed the gate already."""
        self._write(sys.stderr, text)

    def _write(self, stream: IO[AnyStr], text: AnyStr) -> None:
        self.clear_progress()
        try:
            stream.write(text)
            stream.flush()
        except OSError as error:
            if error.errno in (errno.EPIPE, errno.EIO):
                raise OutputClosed("nobody reads the output any more") from error
            raise CommanderError(f"the output cannot be written: {error.strerror}") from error

    async def ask(self, question: str, *, default: str = "", flag: str = "") -> str:
        """Ask for a line on the terminal, or use `default` without one."""
        if not self.is_interactive:
            if default:
                return default
            raise _needs_terminal(question, flag)
        answer: str = await self._prompts().ask_line(f"{escape_line(question)}: ")
        return answer.strip() or default

    async def ask_secret(self, question: str, *, flag: str = "") -> Secret:
        """Ask without echo."""
        if not self.is_interactive:
            raise _needs_terminal(question, flag)
        return Secret(await self._prompts().ask_hidden(f"{escape_line(question)}: "))

    async def confirm(self, question: str, *, force: bool) -> None:
        """Return when forced or answered with yes."""
        if force:
            return
        if not self.is_interactive:
            raise UsageError(
                "this asks before it acts, and there is no terminal", hint="-f goes on unasked"
            )
        answer: str = await self._prompts().ask_line(f"{escape_line(question)} [y/N] ")
        if answer.strip().lower() not in _YES:
            raise Interrupted("not confirmed, nothing was changed")

    def _prompts(self) -> Any:
        self.clear_progress()
        # prompt_toolkit takes longer to import than most commands run.
        return importlib.import_module("commander.shell.prompts")

    async def read_stdin(self, *, limit: int = 1024 * 1024) -> bytes:
        """Read standard input to its end, once."""
        if self._stdin_used:
            raise UsageError("standard input was read already", hint="use a file")
        if self._terminal.stdin:
            raise UsageError("standard input is the terminal", hint="pipe or redirect the data")
        self._stdin_used = True
        return await _read_all(limit)


def _needs_terminal(question: str, flag: str) -> UsageError:
    way_out = f"give {flag}" if flag else "run it on a terminal"
    return UsageError(f"{question!r} needs an answer, and there is no terminal", hint=way_out)


async def _read_all(limit: int) -> bytes:
    if sys.stdin is None or sys.stdin.closed:
        raise UsageError("standard input is closed", hint="pipe or redirect the data")
    loop = asyncio.get_running_loop()
    done: asyncio.Future[bytes] = loop.create_future()

    def settle(data: bytes | None, error: OSError | None) -> None:
        if done.done():
            return
        if data is None:
            done.set_exception(InvalidInput(f"standard input cannot be read: {error}"))
        else:
            done.set_result(data)

    def read() -> None:
        try:
            data: bytes | None = _read_blocking(limit)
            error = None
        except OSError as failed:
            data, error = None, failed
        loop.call_soon_threadsafe(settle, data, error)

    # A daemon thread: a read that never ends must hold up neither Ctrl-C nor our exit.
    threading.Thread(target=read, name="read-stdin", daemon=True).start()
    data = await done
    if len(data) > limit:
        raise InvalidInput(f"standard input is larger than {limit} bytes")
    return data


def _read_blocking(limit: int) -> bytes:
    data = bytearray()
    while len(data) <= limit:
        step = os.read(sys.stdin.fileno(), _READ_STEP)
        if not step:
            break
        data += step
    return bytes(data)
