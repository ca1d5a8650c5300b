"""The running shell: which mode, which plugins, signals, and an orderly end."""

from __future__ import annotations

import asyncio
import importlib
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import commander
from commander.config.options import Options
from commander.config.paths import Paths, find_paths
from commander.errors import CommanderError, InvalidInput, UsageError
from commander.files import read_private
from commander.launch.arguments import StartOptions
from commander.launch.tls_buffers import share_tls_buffers
from commander.launch.wiring import build_context
from commander.plugin.context import Mode
from commander.plugin.loader import find_checkout, find_plugins
from commander.plugin.manager import Plugins
from commander.shell.batch import MAX_STDIN, Batch
from commander.shell.context import ShellContext
from commander.shell.control import Control
from commander.shell.dispatch import Dispatcher
from commander.shell.history import History
from commander.shell.lexer import check_words
from commander.shell.output.failures import code_of
from commander.shell.repl import Repl
from commander.shell.runner import Runner
from commander.shell.terminal import Terminal, find_terminal

CLOSE_TIMEOUT_S = 5.0
_ENDING_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Shell:
    """The parts of one shell, wired."""

    options: StartOptions
    plugins: Plugins
    context: ShellContext
    runner: Runner
    batch: Batch
    control: Control
    history: History
    terminal: Terminal


def run_program(options: StartOptions, environment: Mapping[str, str]) -> int:
    """Run the shell in an event loop of its own; returns the exit code."""
    share_tls_buffers()
    return asyncio.run(run(options, environment))


async def run(options: StartOptions, environment: Mapping[str, str]) -> int:
    """Build the shell and run what was asked for; returns the exit code."""
    terminal = find_terminal(sys.stdin, sys.stdout, sys.stderr, environment)
    mode = choose_mode(options, terminal)
    paths = find_paths(environment, user_home=Path.home(), home=options.home)
    config = load_options(paths)
    shell = build_shell(options, environment, terminal, mode, paths, config)
    return await run_shell(shell)


def choose_mode(options: StartOptions, terminal: Terminal) -> Mode:
    """Session, one-shot or batch. Raises UsageError for a session without a terminal."""
    if options.lines is not None or options.read_stdin:
        return Mode.BATCH
    if options.words:
        return Mode.ONE_SHOT
    if not terminal.is_interactive:
        raise UsageError(
            "a session needs a terminal", hint="`commander -` reads commands from standard input"
        )
    return Mode.SESSION


def load_options(paths: Paths) -> Options:
    """Read config.yaml; defaults when there is none. Raises InvalidInput with the line."""
    try:
        data = read_private(paths.options_file)
    except FileNotFoundError:
        return Options()
    except OSError as error:
        raise InvalidInput(f"{paths.options_file} cannot be read: {error.strerror}") from error
    # YAML takes a third of the start-up time, and most users have no such file.
    reader: Any = importlib.import_module("commander.config.options_file")
    options: Options = reader.parse_options(data, name=str(paths.options_file))
    return options


def build_shell(
    options: StartOptions,
    environment: Mapping[str, str],
    terminal: Terminal,
    mode: Mode,
    paths: Paths,
    config: Options,
) -> Shell:
    """Load the plugins and join the parts."""
    context = build_context(
        paths=paths, config=config, server=options.server, terminal=terminal, mode=mode
    )
    plugins = Plugins()
    plugins.load(find_plugins(find_checkout(commander.__file__)), disabled=config.disabled_plugins)
    for failure in plugins.failures:
        context.console.notice(f"plugin {failure.plugin} is not loaded: {failure.reason}")
    dispatcher = Dispatcher(plugins, context, terminal, options.format or config.format)
    runner = Runner(dispatcher, context, environment)
    batch = Batch(
        runner,
        context,
        keep_going=options.keep_going,
        dry_run=options.dry_run,
        trust_file=options.trust_file,
    )
    is_kept = mode is Mode.SESSION and config.history
    limit = config.history_lines if is_kept else 0
    history = History(plugins.registry, paths.history_file, limit=limit)
    control = Control(dispatcher, batch, history)
    context.attach_shell(control)
    return Shell(options, plugins, context, runner, batch, control, history, terminal)


async def run_shell(shell: Shell) -> int:
    """Run what the shell was started for, and close what it opened; returns the exit code."""
    ending = Ending(shell)
    with ending.signals():
        try:
            code = await _run_mode(shell)
        except CommanderError as error:
            shell.runner.report(error)
            code = code_of(error)
        except asyncio.CancelledError:
            if ending.signal is None:
                raise
            code = 128 + ending.signal
        ending.is_closing = True
        return await _close(shell, code)


async def _run_mode(shell: Shell) -> int:
    options = shell.options
    if shell.context.mode is Mode.SESSION:
        shell.history.load()
        if shell.history.problem:
            shell.context.console.notice(shell.history.problem)
        repl = Repl(
            shell.plugins,
            shell.context,
            shell.runner,
            shell.control,
            shell.history,
            shell.terminal,
        )
        return await repl.run(commander.__version__)
    if shell.context.mode is Mode.ONE_SHOT:
        words = list(options.words)
        check_words(words)
        await shell.runner.run_words(words, dry_run=options.dry_run)
        return 0
    data = (options.lines or "").encode("utf-8", "surrogateescape")
    if options.read_stdin:
        data = await shell.context.console.read_stdin(limit=MAX_STDIN)
    name = "standard input" if options.read_stdin else "-c"
    await shell.batch.run_text(data, name)
    return 0


async def _close(shell: Shell, code: int) -> int:
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await shell.context.close("the shell ended")
    except TimeoutError:
        shell.context.console.notice("closing took too long and was cut short")
        return code or 1
    except CommanderError as error:
        shell.runner.report(error)
        return code or code_of(error)
    return code


class Ending:
    """Signals: Ctrl-C ends the running command, SIGTERM and SIGHUP the program."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._loop = asyncio.get_running_loop()
        self._main = asyncio.current_task()
        self.signal: int | None = None
        # Set when the orderly end has begun: it is short, and a second signal must not cut it.
        self.is_closing = False

    @contextmanager
    def signals(self) -> Iterator[None]:
        """Handle signals inside the block."""
        # Not loop.add_signal_handler for Ctrl-C: the line editor takes that over for the time of
        # its prompt, and gives back only what was set this way.
        before = signal.signal(
            signal.SIGINT, lambda *_: self._loop.call_soon_threadsafe(self._interrupt)
        )
        for number in _ENDING_SIGNALS:
            self._loop.add_signal_handler(number, self._end, number)
        try:
            yield
        finally:
            for number in _ENDING_SIGNALS:
                self._loop.remove_signal_handler(number)
            signal.signal(signal.SIGINT, before)

    def _interrupt(self) -> None:
        if not self._shell.runner.interrupt() and self._shell.context.mode is not Mode.SESSION:
            self._end(signal.SIGINT)

    def _end(self, number: int) -> None:
        if self.is_closing:
            return
        self.signal = number
        assert self._main is not None
        self._main.cancel()
