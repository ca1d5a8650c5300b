from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest

from tests.support.processes import Home
from tests.support.waiting import DEADLINE_S

ROOT = Path(__file__).resolve().parents[3]
COMMANDER = [sys.executable, "-m", "commander"]
PROBE = [sys.executable, "-c",
         "import sys; from tests.integration.shell.probe_program import main; sys.exit(main())"]  # fmt: skip

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]
Open = Callable[..., "Session"]


@pytest.fixture
def run(home: Home) -> Run:
    """Run the program to its end, without a terminal."""

    def run(
        *words: str | bytes,
        stdin: bytes = b"",
        program: list[str] = COMMANDER,
        **environment: str,
    ) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*program, *words],
            input=stdin,
            capture_output=True,
            cwd=ROOT,
            env=home.environment(**environment),
            timeout=DEADLINE_S,
            check=False,
        )

    return run


class Session:
    """The program on a pseudo terminal."""

    def __init__(self, words: list[str], environment: dict[str, str]) -> None:
        # The pseudo terminal does not answer questions about the cursor.
        answers = {"TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1", "PYTHONUNBUFFERED": "1"}
        self.child: Any = pexpect.spawn(
            words[0],
            words[1:],
            env=environment | answers,
            cwd=str(ROOT),
            encoding="utf-8",
            timeout=DEADLINE_S,
            dimensions=(40, 120),
        )

    def prompt(self) -> None:
        """Wait until a line may be typed."""
        # A prompt begins by switching bracketed paste on; what follows is drawn many times.
        self.child.expect_exact("\x1b[?2004h")
        self.child.expect_exact("Not logged in>")

    def type(self, text: str) -> None:
        """Type a line and Enter."""
        self.child.send(text + "\r")

    def expect(self, text: str) -> str:
        """Wait for a text; what came before it, without colours."""
        self.child.expect_exact(text)
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.child.before or "")

    def result(self, text: str) -> None:
        """Wait for the first line that a command prints, behind the line that was typed."""
        self.child.expect_exact(f"\x1b[?2004l{text}\r\n")

    def close_terminal(self) -> None:
        """What closing the window does: the terminal is gone, nobody ends the program."""
        self.child.ptyproc.fileobj.close()
        self.child.closed = self.child.ptyproc.closed = True

    def end(self) -> int:
        """Wait for the program's end; its exit status."""
        self.child.expect(pexpect.EOF)
        self.child.close()
        return int(
            self.child.exitstatus
            if self.child.exitstatus is not None
            else -(self.child.signalstatus or 0)
        )


@pytest.fixture
def open_session(home: Home) -> Iterator[Open]:
    """Start sessions on pseudo terminals; those left open are ended."""
    opened: list[Session] = []

    def open_session(*words: str, program: list[str] = COMMANDER, **environment: str) -> Session:
        session = Session([*program, *words], home.environment(**environment))
        opened.append(session)
        return session

    yield open_session
    for session in opened:
        session.child.close(force=True)


@pytest.fixture
def is_root() -> bool:
    """Whether tests may make files of other users."""
    return os.geteuid() == 0
