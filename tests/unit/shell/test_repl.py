from __future__ import annotations

from collections.abc import Iterator

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output import DummyOutput

from commander.plugin.testing import FakeTunnels
from commander.shell.repl import Repl
from commander.shell.terminal import Terminal
from tests.unit.shell.parts import Logins, Shell, some_session

Captured = pytest.CaptureFixture[str]
SCREEN = Terminal(stdin=True, stdout=True, stderr=True, is_dumb=True)


@pytest.fixture
def typed() -> Iterator[PipeInput]:
    with create_pipe_input() as pipe, create_app_session(input=pipe, output=DummyOutput()):
        yield pipe


async def session(shell: Shell, typed: PipeInput, keys: str) -> int:
    typed.send_text(keys)
    repl = Repl(
        shell.plugins, shell.context, shell.runner, shell.control, shell.history, shell.terminal
    )
    return await repl.run("1.2.3")


async def test_a_session_goes_on_after_errors(typed: PipeInput, capsys: Captured) -> None:
    """Each line runs, failures are told, Ctrl-C clears the line, `quit` ends with 0."""
    keys = "echo 1\rnope\rfail bug\recho x\x03echo 2\r\rquit\r"

    assert await session(Shell(terminal=SCREEN), typed, keys) == 0
    shown = capsys.readouterr()
    assert shown.out == "1\n2\n"
    assert "unknown command 'nope'" in shown.err
    assert "internal fault RuntimeError" in shown.err
    assert "Commander 1.2.3" in shown.err


async def test_end_of_input_leaves(typed: PipeInput) -> None:
    """Ctrl-D on an empty line ends the session."""
    assert await session(Shell(), typed, "\x04") == 0


async def test_a_kept_login_is_resumed_at_start(typed: PipeInput, capsys: Captured) -> None:
    """The session begins logged in when a login was kept."""
    shell = Shell(logins=Logins(some_session()))
    await session(shell, typed, "record-add --title x\rquit\r")

    assert capsys.readouterr().out == "added x\n"


@pytest.mark.parametrize(
    ("keys", "lines"), [("quit\ry\r", "1\n"), ("quit\rn\recho 2\r\x04yes\r", "1\n2\n")]
)
async def test_leaving_with_open_tunnels_asks(
    typed: PipeInput, capsys: Captured, keys: str, lines: str
) -> None:
    """With tunnels open, leaving needs a yes; a no goes on."""
    shell = Shell(terminal=SCREEN, tunnels=FakeTunnels(2))

    assert await session(shell, typed, "echo 1\r" + keys) == 0
    assert capsys.readouterr().out == lines


async def test_without_a_terminal_leaving_does_not_ask(typed: PipeInput) -> None:
    """Nobody can answer, so leaving stops the tunnels."""
    assert await session(Shell(tunnels=FakeTunnels(1)), typed, "quit\r") == 0


async def test_lines_enter_the_history_unless_secret(typed: PipeInput) -> None:
    """The session keeps what it may keep."""
    shell = Shell()
    await session(shell, typed, "echo 1\rset PASSWORD canary\rquit\r")

    assert shell.history.lines() == ["echo 1", "quit"]
