"""Running a program for a command: its own terminal, its signals, its exit code, its output filtered."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Protocol

from commander.errors import InvalidInput, NotFound

STOP_S = 10.0
# What a program has left running may keep its output open; it is waited for while it talks.
QUIET_S = 2.0
_MAX_DESCENDANTS = 1000
_STEP = 64 * 1024
_STDOUT, _STDERR = 1, 2
# Some systems lack some of them.
_FORWARDED = tuple(
    number
    for name in ("SIGINT", "SIGQUIT", "SIGUSR1", "SIGUSR2")
    if (number := getattr(signal, name, None)) is not None
)
_FROM_TERMINAL = _FORWARDED[:2]


class ByteFilter(Protocol):
    """Changes a stream on its way, chunk by chunk."""

    def feed(self, data: bytes) -> bytes:
        """What can be passed on so far."""
        ...

    def finish(self) -> bytes:
        """The rest, at the end of the stream."""
        ...


async def run_program(
    words: Sequence[str],
    environment: Mapping[str, str],
    *,
    stdout: ByteFilter | None = None,
    stderr: ByteFilter | None = None,
    stop_s: float = STOP_S,
) -> int:
    """
    Run a program in exactly this environment; returns its exit code, 128 + n when signal n ended it.

    Ctrl-C is the program's to handle; other signals are passed on. A cancelled wait (SIGTERM,
    SIGHUP) ends the program and what it has started, after `stop_s` by force. With filters its
    output comes through us, so for the program it is a pipe. Raises NotFound, InvalidInput.
    """
    pumps = [
        _Pump(target, found) for target, found in ((_STDOUT, stdout), (_STDERR, stderr)) if found
    ]
    # Before the program starts: a signal that comes meanwhile is the program's too.
    with _signals_passed_on() as passing:
        try:
            child = await _start(words, environment, pumps)
        except OSError as error:
            for pump in pumps:
                pump.abandon()
            raise _not_started(words[0], error) from None
        for pump in pumps:
            pump.start()
        try:
            passing.to(child)
            code = await child.wait()
            for pump in pumps:
                await pump.wait()
        except asyncio.CancelledError:
            await _end(child, stop_s)
            raise
    return 128 - code if code < 0 else code


async def _start(
    words: Sequence[str], environment: Mapping[str, str], pumps: Sequence[_Pump]
) -> asyncio.subprocess.Process:
    ends = {pump.target: pump.write_end for pump in pumps}
    return await asyncio.create_subprocess_exec(
        *words, env=dict(environment), stdout=ends.get(_STDOUT), stderr=ends.get(_STDERR)
    )


def _not_started(name: str, error: OSError) -> Exception:
    if isinstance(error, FileNotFoundError):
        return NotFound(f"{name!r} is not a program", hint="check the name and PATH")
    if isinstance(error, PermissionError):
        return NotFound(f"{name!r} may not be run", hint="check its mode")
    return InvalidInput(f"{name!r} could not be started: {error.strerror}")


class _Pump:
    """
    One output of the program through a filter, in a thread.

    A thread, since our own output may be a file, a pipe or a terminal, which the loop cannot all
    write to without blocking. A daemon, since a reader that never reads must not hold up our exit.
    """

    def __init__(self, target: int, changes: ByteFilter) -> None:
        self.target = target
        self._filter = changes
        self._read_end, self.write_end = os.pipe()
        self._loop = asyncio.get_running_loop()
        self._done = asyncio.Event()
        # Read by the loop, written by the thread; each is one word.
        self._passed = 0
        self._is_writing = False

    def abandon(self) -> None:
        """Close both ends of a pump that was never started."""
        os.close(self._read_end)
        os.close(self.write_end)

    def start(self) -> None:
        """Begin, once the program has its end of the pipe."""
        os.close(self.write_end)
        threading.Thread(target=self._run, name="program-output", daemon=True).start()

    def _run(self) -> None:
        try:
            while data := os.read(self._read_end, _STEP):
                self._passed += len(data)
                self._write(self._filter.feed(data))
            self._write(self._filter.finish())
        except OSError:
            # Nobody reads us any more: the program learns it from its own next write.
            pass
        finally:
            os.close(self._read_end)
            with contextlib.suppress(RuntimeError):  # the loop has ended before us
                self._loop.call_soon_threadsafe(self._done.set)

    def _write(self, data: bytes) -> None:
        self._is_writing = True
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self.target, rest) :]
        self._is_writing = False

    async def wait(self) -> None:
        """Return at the end of the output, or when what still holds it open has gone quiet."""
        passed = -1
        while self._is_writing or passed != self._passed:
            passed = self._passed
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(QUIET_S):
                    await self._done.wait()
                    return


async def _end(child: asyncio.subprocess.Process, stop_s: float) -> None:
    # A shell that is told to end leaves what it has started running.
    _signal([child.pid, *descendants(child.pid)], signal.SIGTERM)
    try:
        async with asyncio.timeout(stop_s):
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


class _Passing:
    """Where signals go: to the program, or, before it has started, to it once it has."""

    def __init__(self) -> None:
        self._child: asyncio.subprocess.Process | None = None
        self._waiting: list[int] = []

    def to(self, child: asyncio.subprocess.Process) -> None:
        """The program has started."""
        self._child = child
        while self._waiting:
            self.handle(self._waiting.pop(0), None)

    def handle(self, number: int, _frame: FrameType | None) -> None:
        """Take a signal, as a handler of the system does."""
        child = self._child
        if child is None:
            self._waiting.append(number)
        elif child.returncode is None and not (number in _FROM_TERMINAL and _is_foreground()):
            # A terminal sends Ctrl-C to the whole foreground group, so there the program has it
            # already. A handler that does nothing, unlike SIG_IGN, is not inherited.
            _signal([child.pid], signal.Signals(number))


@contextlib.contextmanager
def _signals_passed_on() -> Iterator[_Passing]:
    passing = _Passing()
    before = {number: signal.signal(number, passing.handle) for number in _FORWARDED}
    try:
        yield passing
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_foreground() -> bool:
    for descriptor in range(3):
        with contextlib.suppress(OSError):
            return os.tcgetpgrp(descriptor) == os.getpgrp()
    return False
