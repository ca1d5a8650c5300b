from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.integration.shell.conftest import PROBE, Open
from tests.support.processes import Home
from tests.support.waiting import until

pytestmark = pytest.mark.integration


def test_lines_run_and_quit_leaves(open_session: Open) -> None:
    """The session runs commands, tells errors and goes on, and ends with 0."""
    session = open_session()
    session.prompt()
    session.type("set A 'x  y'; echo <${A}>")
    session.result("<x  y>")
    session.prompt()
    session.type("nope")
    session.expect("unknown command 'nope'")
    session.prompt()
    session.type("quit")

    assert session.end() == 0


def test_tab_completes_commands_and_flags(open_session: Open) -> None:
    """A beginning is completed by Tab, and what is completed runs."""
    session = open_session()
    session.prompt()
    # Only what Tab adds is drawn.
    for typed, added in (("vers", "ion"), ("--form", "at"), ("js", "on")):
        session.child.send(typed + "\t")
        session.expect(added)
    session.child.send("\r")

    session.expect('"version": ')
    session.prompt()


def test_history_survives_without_secrets(open_session: Open, home: Home) -> None:
    """Arrow keys and Ctrl-R find lines of the session before; a secret is in no file."""
    first = open_session()
    for line in ("echo first", "set PASSWORD canary", "echo second"):
        first.prompt()
        first.type(line)
    first.prompt()
    first.child.send("\x04")
    assert first.end() == 0

    second = open_session()
    second.prompt()
    second.child.send("\x12")
    second.expect("I-search backward")
    second.child.send("first")
    second.expect("first")
    second.child.send("\r\r")
    second.result("first")
    second.prompt()
    second.type("history --format csv")
    shown = second.expect("2,echo second")
    second.type("quit")
    assert second.end() == 0

    assert "canary" not in shown
    assert [p.name for p in home.commander.iterdir() if b"canary" in p.read_bytes()] == []


def test_b010_ctrl_c_ends_the_command_and_keeps_the_session(
    open_session: Open, tmp_path: Path
) -> None:
    """The command's cleanup has run when the prompt is back; the next command works."""
    session = open_session(program=PROBE)
    session.prompt()
    session.type(f"hold {tmp_path / 'f'}")
    session.expect("holding")
    session.child.sendintr()
    session.expect("interrupted")
    session.prompt()

    assert (tmp_path / "f").read_text() == "ended"
    session.type("echo again")
    session.result("again")
    session.type("quit")
    assert session.end() == 0


def test_b010_ctrl_c_in_a_password_prompt(open_session: Open, tmp_path: Path) -> None:
    """A secret is not echoed; Ctrl-C leaves the question with 130 and nothing is done."""
    session = open_session(program=PROBE)
    session.prompt()
    session.type(f"secret {tmp_path / 'f'}")
    session.expect("Password:")
    session.child.send("can\x03")
    before = session.expect("the question was left")
    session.prompt()
    assert "can" not in before
    assert not (tmp_path / "f").exists()

    session.type(f"secret {tmp_path / 'f'}")
    session.expect("Password:")
    session.type("canary")
    assert "canary" not in session.expect("taken")
    session.prompt()
    assert (tmp_path / "f").read_text() == "6"

    # The question took Ctrl-C over for its time: it must work for commands again.
    session.type(f"hold {tmp_path / 'g'}")
    session.expect("holding")
    session.child.sendintr()
    session.expect("interrupted")
    session.type("quit")
    assert session.end() == 0


def test_a_one_shot_asks_on_the_terminal(open_session: Open, tmp_path: Path) -> None:
    """One-shot commands ask too, and Ctrl-C there is exit 130."""
    session = open_session("secret", str(tmp_path / "f"), program=PROBE)
    session.expect("Password:")
    session.child.send("\x03")

    session.expect("the question was left")
    assert session.end() == 130


def test_background_notices_print_above_the_line_being_typed(
    open_session: Open, tmp_path: Path
) -> None:
    """What a task says while a line is typed is escaped, and the line is not lost."""
    session = open_session(program=PROBE)
    session.prompt()
    session.type(f"later {tmp_path / 'go'}")
    session.prompt()
    session.child.send("echo still")
    session.expect("still")
    (tmp_path / "go").touch()
    session.expect("tunnel \\x1b[2J resumed")
    session.child.send(" here\r")

    session.result("still here")
    session.type("quit")
    assert session.end() == 0


def test_a_long_line_is_continued(open_session: Open) -> None:
    """A trailing backslash asks for more."""
    session = open_session()
    session.prompt()
    session.type("echo one \\")
    session.expect("...")
    session.type("two")

    session.result("one two")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("is_running", [False, True])
def test_b012_signals_end_the_session_in_order(
    open_session: Open, tmp_path: Path, number: int, is_running: bool
) -> None:
    """At the prompt or in a command: opened things are closed and the status names the signal."""
    session = open_session(program=PROBE)
    session.prompt()
    session.type(f"keep {tmp_path / 'kept'}")
    session.prompt()
    if is_running:
        session.type(f"hold {tmp_path / 'held'}")
        session.expect("holding")
    os.kill(session.child.pid, number)

    assert session.end() == 128 + number
    assert (tmp_path / "kept").read_text() == "closed"


def test_b012_a_closed_terminal_ends_the_session(open_session: Open, tmp_path: Path) -> None:
    """When the terminal window is closed, what was opened is closed too."""
    session = open_session(program=PROBE)
    session.prompt()
    session.type(f"keep {tmp_path / 'kept'}")
    session.prompt()
    session.close_terminal()

    until(lambda: (tmp_path / "kept").read_text() == "closed", "the kept thing closed")
    until(lambda: not session.child.isalive(), "the program's end")


@pytest.mark.parametrize("term", ["dumb", "vt100", "no-such-terminal"])
@pytest.mark.parametrize("columns", ["0", "1", "1000"])
def test_b013_odd_terminals_work(open_session: Open, term: str, columns: str) -> None:
    """Unknown and dumb terminals of any width show results without escapes where they must."""
    session = open_session("history", program=["env", f"TERM={term}", *PROBE], COLUMNS=columns)
    shown = session.expect("no lines yet")

    assert session.end() == 0
    assert "Traceback" not in shown
