"""Tests of commander/plugin/child.py, with real programs."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable
from pathlib import Path

import pytest

from commander.errors import InvalidInput, NotFound
from commander.plugin.child import run_program

PATH = {"PATH": os.environ["PATH"]}


class Upper:
    """A filter that can be told from none."""

    def feed(self, data: bytes) -> bytes:
        return data.upper()

    def finish(self) -> bytes:
        return b"<end>"


async def until_exists(path: Path) -> None:
    """Wait for what a program writes."""
    async with asyncio.timeout(60):
        while not path.exists() or not path.read_text():
            await asyncio.sleep(0.01)


def shell(script: str) -> Awaitable[int]:
    """Run a shell script unfiltered."""
    return run_program(["/bin/sh", "-c", script], PATH)


@pytest.mark.parametrize(("script", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137)])
async def test_the_exit_code_is_the_programs_own(script: str, code: int) -> None:
    """And 128 + n when signal n ended it."""
    assert await shell(script) == code


async def test_the_environment_is_what_was_given_and_nothing_else() -> None:
    """Our own variables are the caller's to hand on."""
    script = 'test "$A" = "b c" && test -z "$HOME"'

    assert await run_program(["/bin/sh", "-c", script], {"A": "b c"}) == 0


async def test_output_passes_the_filters(capfd: pytest.CaptureFixture[str]) -> None:
    """Each stream its own, to the end, in order."""
    script = "echo one; echo two >&2; head -c 200000 /dev/zero | tr '\\0' x"

    await run_program(["/bin/sh", "-c", script], PATH, stdout=Upper(), stderr=Upper())

    out, err = capfd.readouterr()
    assert out == "ONE\n" + "X" * 200_000 + "<end>"
    assert err == "TWO\n<end>"


async def test_a_program_left_running_with_our_output_holds_nothing_up(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A daemon that keeps its output open and says nothing is not waited for."""
    pid = tmp_path / "pid"

    code = await run_program(
        ["/bin/sh", "-c", f"sleep 600 & echo $! > {pid}; echo done"], PATH, stdout=Upper()
    )

    os.kill(int(pid.read_text()), signal.SIGKILL)
    assert code == 0
    assert capfd.readouterr().out.startswith("DONE\n")


async def test_what_is_no_program_is_named() -> None:
    """Exit code 3 or 2 and the name; the pipes for its output are closed."""
    before = len(os.listdir("/proc/self/fd"))
    for name, error in (("no-such", NotFound), (__file__, NotFound), ("x" * 5000, InvalidInput)):
        with pytest.raises(error, match=name[:20]):
            await run_program([name], PATH, stdout=Upper())

    assert len(os.listdir("/proc/self/fd")) <= before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGQUIT])
async def test_signals_are_passed_on(number: signal.Signals, tmp_path: Path) -> None:
    """The program decides what they mean; afterwards they are ours again."""
    ready, before = tmp_path / "ready", signal.getsignal(number)
    script = (
        f"import signal,sys,pathlib;signal.signal({int(number)},lambda *_:sys.exit(9));"
        f"pathlib.Path({str(ready)!r}).write_text('x');signal.pause()"
    )
    running = asyncio.ensure_future(run_program([sys.executable, "-c", script], PATH))
    await until_exists(ready)

    os.kill(os.getpid(), number)

    assert await running == 9
    assert signal.getsignal(number) == before


@pytest.mark.parametrize("trap", ["", "trap '' TERM; "])
async def test_a_cancelled_wait_ends_the_program_and_what_it_started(
    trap: str, tmp_path: Path
) -> None:
    """By force where it does not listen."""
    said = tmp_path / "pid"
    script = f"{trap}sleep 600 & echo $! > {said}; wait; wait; true"
    running = asyncio.ensure_future(run_program(["/bin/sh", "-c", script], PATH, stop_s=0.5))
    await until_exists(said)

    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    async with asyncio.timeout(60):
        while is_alive(int(said.read_text())):
            await asyncio.sleep(0.01)


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False
