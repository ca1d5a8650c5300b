from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from commander.errors import NotFound
from plugins.pam.tunnel.child import run_child
from tests.support.waiting import until


@pytest.mark.parametrize("code", [0, 1, 7, 255])
async def test_the_exit_code_is_the_programs_own(code: int) -> None:
    """Whatever the program says with its exit code is passed on."""
    assert await run_child(["/bin/sh", "-c", f"exit {code}"], {}) == code


async def test_a_signal_reads_as_shells_read_it() -> None:
    """A program ended by signal n gives 128 + n."""
    assert await run_child(["/bin/sh", "-c", "kill -TERM $$"], {}) == 128 + signal.SIGTERM


async def test_variables_reach_the_program() -> None:
    """The endpoint is in the environment, beside what was there."""
    script = 'test "$PAM_PORT" = 49152 && test -n "$PATH"'

    assert await run_child(["/bin/sh", "-c", script], {"PAM_PORT": "49152"}) == 0


async def test_a_missing_program_is_named() -> None:
    """Exit code 3 and the name, not a traceback."""
    with pytest.raises(NotFound, match="no-such-program"):
        await run_child(["no-such-program"], {})
    with pytest.raises(NotFound, match="may not be run"):
        await run_child([str(Path(__file__))], {})


async def test_a_cancelled_wait_ends_the_program(tmp_path: Path) -> None:
    """No orphan is left when the command is stopped, and Ctrl-C works again after."""
    ready = tmp_path / "ready"
    script = f"import pathlib,time; pathlib.Path({str(ready)!r}).touch(); time.sleep(600)"
    before = signal.getsignal(signal.SIGINT)
    running = asyncio.ensure_future(run_child([sys.executable, "-c", script], {}))
    async with asyncio.timeout(30):
        while not ready.exists():
            await asyncio.sleep(0.01)

    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert signal.getsignal(signal.SIGINT) == before


async def test_a_cancelled_wait_ends_what_a_shell_has_started(tmp_path: Path) -> None:
    """A shell told to end leaves its own child running, so that is told as well."""
    said = tmp_path / "pid"
    script = f"sleep 600 & echo $! > {said}; wait; true"
    running = asyncio.ensure_future(run_child(["/bin/sh", "-c", script], {}))
    async with asyncio.timeout(30):
        while not said.exists() or not said.read_text().strip():
            await asyncio.sleep(0.01)

    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    async with asyncio.timeout(30):
        while _is_alive(int(said.read_text())):
            await asyncio.sleep(0.01)


def _is_alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2])
def test_signals_reach_the_program(tmp_path: Path, number: signal.Signals) -> None:
    """Without a terminal nobody else gives the program a signal that was sent to us."""
    ready = tmp_path / "ready"
    program = (
        "import pathlib,signal,sys\n"
        f"signal.signal({number.value}, lambda *_: sys.exit(42))\n"
        f"pathlib.Path({str(ready)!r}).touch()\nsignal.pause()\n"
    )
    ours = (
        "import asyncio, sys\n"
        "from plugins.pam.tunnel.child import run_child\n"
        f"sys.exit(asyncio.run(run_child([sys.executable, '-c', {program!r}], {{}})))\n"
    )
    running = subprocess.Popen([sys.executable, "-c", ours], start_new_session=True)
    try:
        until(ready.exists, "the program")
        running.send_signal(number)
        assert running.wait(timeout=60) == 42
    finally:
        running.kill()
        running.wait()
