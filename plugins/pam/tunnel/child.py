"""Running a command beside a tunnel: its own terminal, its own Ctrl-C, its exit code."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from commander.errors import NotFound

_STOP_S = 5.0
_MAX_DESCENDANTS = 1000


async def run_child(words: list[str], variables: Mapping[str, str]) -> int:
    """
    Run a program and return its exit code; 128 + n when signal n ended it.

    Ctrl-C is the program's to handle (psql cancels a query with it); SIGINT from elsewhere, SIGUSR1
    and SIGUSR2 are passed on. A cancelled wait (SIGTERM, SIGHUP) ends the program and what it has started, after 5 s by force. Raises NotFound when there is no such program.
    """
    try:
        child = await asyncio.create_subprocess_exec(*words, env={**os.environ, **variables})
    except FileNotFoundError:
        raise NotFound(f"{words[0]!r} is not a program", hint="check the name and PATH") from None
    except PermissionError:
        raise NotFound(f"{words[0]!r} may not be run", hint="check its mode") from None
    try:
        with _signals_passed_on(child.pid):
            code = await child.wait()
    except asyncio.CancelledError:
        await _end(child)
        raise
    return 128 - code if code < 0 else code


async def _end(child: asyncio.subprocess.Process) -> None:
    # A shell that is told to end leaves what it has started running.
    started = [child.pid, *descendants(child.pid)]
    _signal(started, signal.SIGTERM)
    try:
        async with asyncio.timeout(_STOP_S):
            await child.wait()
    except TimeoutError:
        _signal([child.pid, *descendants(child.pid)], signal.SIGKILL)
        await child.wait()


def descendants(pid: int) -> list[int]:
    """Living children of a process and theirs, as far as the system says (Linux)."""
    found: list[int] = []
    waiting = [pid]
    while waiting and len(found) < _MAX_DESCENDANTS:
        parent = waiting.pop()
        for path in Path(f"/proc/{parent}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                waiting += map(int, path.read_text().split())
        if parent != pid:
            found.append(parent)
    return found


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


@contextlib.contextmanager
def _signals_passed_on(pid: int) -> Iterator[None]:
    def interrupt(*_: object) -> None:
        # A terminal sends Ctrl-C to the whole foreground group, so the child has it already.
        if not _is_in_foreground():
            _signal([pid], signal.SIGINT)

    # Handlers of Python, unlike SIG_IGN, are not inherited by programs.
    handlers: dict[signal.Signals, Callable[..., None]] = {
        signal.SIGINT: interrupt,
        signal.SIGUSR1: lambda *_: _signal([pid], signal.SIGUSR1),
        signal.SIGUSR2: lambda *_: _signal([pid], signal.SIGUSR2),
    }
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_in_foreground() -> bool:
    """Whether a terminal's Ctrl-C reaches our process group."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)
