"""Interactive sessions: Ctrl-C, signals and closed terminals with a tunnel open or being opened."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pexpect
import pytest

from tests.chaos.interrupts import SIGNALS
from tests.chaos.world import RECORD, World, check_echo, leftovers
from tests.support.processes import MARK, marked_processes, program
from tests.support.waiting import DEADLINE_S, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

Open = Callable[..., Any]
START = f"pam tunnel start {RECORD} --new\r"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with World(tmp_path_factory.mktemp("session")) as world:
        yield world


@pytest.fixture
def open_terminal(world: World) -> Iterator[Open]:
    """`commander WORDS` on a pseudo terminal; ended after the test."""
    opened: list[Any] = []

    def open_terminal(*words: str) -> Any:
        command = program(["commander", *words])
        environment = world.user.home.environment(TERM="xterm", PROMPT_TOOLKIT_NO_CPR="1")
        child = pexpect.spawn(
            command[0],
            command[1:],
            env=environment | {MARK: world.product.family.mark},
            cwd=str(world.user.home.work),
            encoding="utf-8",
            timeout=DEADLINE_S,
            dimensions=(40, 160),
        )
        opened.append(child)
        return child

    yield open_terminal
    for child in opened:
        child.close(force=True)


def wait_for_prompt(child: Any) -> None:
    # A prompt begins by switching bracketed paste on; what follows is drawn many times.
    child.expect_exact("\x1b[?2004h")
    child.expect_exact("My Vault>")


def end_of(child: Any) -> int:
    child.expect(pexpect.EOF)
    child.wait()
    return int(child.exitstatus if child.exitstatus is not None else -child.signalstatus)


def check_nothing_left(world: World, pid: int) -> None:
    family = world.product.family
    known = {child.pid for child in family.children if child.is_running}
    until(lambda: not set(marked_processes(family.mark)) - known, f"{pid} and its children gone")
    assert leftovers(world.user) == []
    assert world.user.json("pam", "tunnel", "list") == []


@pytest.mark.parametrize("moment", range(3))
def test_ctrl_c_while_a_tunnel_comes_up_keeps_the_session(
    world: World, open_terminal: Open, moment: int
) -> None:
    """At any moment of a start: the prompt is back, what is open is listed, and quit leaves nothing."""
    child = open_terminal()
    wait_for_prompt(child)
    child.send(START)
    threading.Event().wait(random.Random(f"session {moment}").uniform(0.0, 0.8))
    child.sendintr()
    wait_for_prompt(child)
    # When the tunnel was faster, Ctrl-C met an empty line, and a further prompt may follow.
    child.send("echo still here\r")
    child.expect_exact("\x1b[?2004lstill here\r\n")
    wait_for_prompt(child)
    child.send("quit\r")
    if child.expect_exact(["[y/N]", pexpect.EOF]) == 0:
        child.send("y\r")
        child.expect(pexpect.EOF)
    child.wait()

    check_nothing_left(world, child.pid)


@pytest.mark.parametrize("number", [*SIGNALS[1:], None])
def test_a_session_with_a_tunnel_ends_with_its_terminal(
    world: World, open_terminal: Open, number: signal.Signals | None
) -> None:
    """SIGTERM, SIGHUP and a closed window end the session's tunnels with it."""
    child = open_terminal()
    wait_for_prompt(child)
    child.send(START)
    child.expect("Listening on: ")
    wait_for_prompt(child)

    if number is None:
        child.ptyproc.fileobj.close()
        child.closed = child.ptyproc.closed = True
        until(lambda: os.waitpid(child.pid, os.WNOHANG)[0], "the session's end")
        child.terminated = child.ptyproc.terminated = True
    else:
        os.kill(child.pid, number)
        assert end_of(child) == 128 + number

    check_nothing_left(world, child.pid)
    check_echo(world)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_password_prompt_gives_the_terminal_back(
    world: World, open_terminal: Open, number: signal.Signals
) -> None:
    """Stopped at the question, the program leaves a terminal that shows what is typed."""
    child = open_terminal("login")
    child.expect_exact("assword")
    until(lambda: not child.getecho(), "the terminal hides what is typed")

    if number is signal.SIGINT:
        child.sendintr()
    else:
        os.kill(child.pid, number)

    until(child.getecho, "the terminal shows what is typed")
    assert end_of(child) == 128 + number
    check_nothing_left(world, child.pid)
