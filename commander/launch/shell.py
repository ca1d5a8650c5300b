"""The `commander` program: reads its command line, builds the shell, runs it in one event loop."""

from __future__ import annotations

import importlib
import io
import os
import sys
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, cast

from commander import __version__
from commander.errors import CommanderError
from commander.launch.allocator import keep_freed_memory
from commander.launch.arguments import USAGE, StartOptions, read_start_options
from commander.launch.hardening import drop_key_log, protect_memory, refuse_optimised, show_fault
from commander.shell.output.failures import code_of, error_json, error_text


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; returns its exit code."""
    sys.excepthook = show_fault
    prepare_streams()
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        refuse_optimised()
        options = read_start_options(words)
        if options.version or options.help:
            sys.stdout.write(f"commander {__version__}\n" if options.version else USAGE)
            return finish(0)
        return finish(_run(options))
    except KeyboardInterrupt:
        # Ctrl-C while modules are still loaded, before the shell listens to signals itself.
        return finish(130)
    except CommanderError as error:
        as_json = "--format=json" in words or ("--format", "json") in pairwise(words)
        _say(error_json(error) if as_json else error_text(error))
        return finish(code_of(error))


def _run(options: StartOptions) -> int:
    protect_memory()
    keep_freed_memory()
    if drop_key_log(os.environ):
        _say("notice: SSLKEYLOGFILE is ignored\n")
    # Everything behind it is needed for commands only, not for --version or a usage error.
    program: Any = importlib.import_module("commander.launch.shell_program")
    code: int = program.run_program(options, dict(os.environ))
    return code


def prepare_streams() -> None:
    """Make any text printable: pipes carry UTF-8, terminals get escapes for what they lack."""
    _fill_descriptors()
    # A program started with closed descriptors has no streams at all.
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", closefd=False)
    sys.stdout = _prepared(cast(io.TextIOWrapper, sys.stdout))
    sys.stderr = _prepared(cast(io.TextIOWrapper, sys.stderr))


def _fill_descriptors() -> None:
    """
    Put /dev/null where a standard stream is closed.

    Else the next file that is opened, a cache or a database, would be where output goes.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest free number is this one, since those below are taken.
            os.open(os.devnull, os.O_RDWR)


def _prepared(stream: io.TextIOWrapper) -> io.TextIOWrapper:
    encoding = stream.encoding if stream.isatty() else "utf-8"
    raw: object = stream.buffer
    if isinstance(raw, io.RawIOBase):
        # With PYTHONUNBUFFERED there is no buffer, and what one system call does not take is lost.
        binary = io.BufferedWriter(raw)
        return io.TextIOWrapper(binary, encoding, "backslashreplace", line_buffering=True)
    stream.reconfigure(encoding=encoding, errors="backslashreplace")
    return stream


def _say(text: str) -> None:
    try:
        sys.stderr.write(text)
    except OSError:
        # The terminal is gone; the exit code still tells.
        return


def finish(code: int) -> int:
    """Flush what is left; a reader that is gone is no fault worth a trace."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        # Python flushes once more at its end and would complain: give it nothing to flush to.
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.dup2(null, sys.stderr.fileno())
        return code or 141
    return code


if __name__ == "__main__":
    sys.exit(main())
