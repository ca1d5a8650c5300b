"""The session on a real terminal, from the first prompt to `quit`."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pexpect
import pytest

from tests.e2e.setting import TARGET, Setting, fetch
from tests.support.processes import MARK, program
from tests.support.product import User
from tests.support.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


class Terminal:
    """`commander` on a pseudo terminal."""

    def __init__(self, user: User, mark: str) -> None:
        # The pseudo terminal does not answer questions about the cursor.
        environment = user.home.environment(TERM="xterm", PROMPT_TOOLKIT_NO_CPR="1")
        self.child: Any = pexpect.spawn(
            program(["commander"])[0],
            env=environment | {MARK: mark},
            cwd=str(user.home.work),
            encoding="utf-8",
            timeout=60,
            dimensions=(40, 160),
        )

    def prompt(self, text: str = "My Vault>") -> None:
        """Wait until a line may be typed."""
        # A prompt begins by switching bracketed paste on; what follows is drawn many times.
        self.child.expect_exact("\x1b[?2004h")
        self.child.expect_exact(text)

    def type(self, text: str) -> None:
        """Type a line and Enter."""
        self.child.send(text + "\r")

    def expect(self, pattern: str) -> re.Match[str]:
        """Wait for a text."""
        self.child.expect(pattern)
        found = self.child.match
        assert isinstance(found, re.Match)
        return found

    def start_tunnel(self, line: str = f"pam tunnel start {TARGET}") -> int:
        """Type the line; the port of the tunnel when the prompt is back."""
        self.type(line)
        port = int(self.expect(r"Listening on: 127\.0\.0\.1:(\d+) ")[1])
        self.prompt()
        return port

    def leave(self) -> int:
        """`quit` without open tunnels; the exit status."""
        self.type("quit")
        return self.end()

    def end(self) -> int:
        """Wait for the end; the exit status."""
        self.child.expect(pexpect.EOF)
        self.child.close()
        return int(self.child.exitstatus)


Open = Callable[[User], Terminal]


@pytest.fixture
def open_terminal(setting: Setting) -> Iterator[Open]:
    opened: list[Terminal] = []

    def open_terminal(user: User) -> Terminal:
        opened.append(Terminal(user, setting.product.family.mark))
        return opened[-1]

    yield open_terminal
    for terminal in opened:
        terminal.child.close(force=True)


def test_the_prompt_says_who_is_in(setting: Setting, open_terminal: Open) -> None:
    """The prompt tells a stranger from a person who is logged in, and where she is."""
    stranger = open_terminal(setting.product.user("nobody@example.org"))
    stranger.prompt("Not logged in>")
    stranger.type("ls")
    stranger.expect("error: this machine has no account yet")
    stranger.prompt("Not logged in>")
    assert stranger.leave() == 0

    ann = open_terminal(setting.ann)
    ann.prompt("My Vault>")
    ann.type("cd Infrastructure")
    ann.prompt("My Vault/Infrastructure>")
    assert ann.leave() == 0


def test_tab_completes_commands_and_titles(setting: Setting, open_terminal: Open) -> None:
    """Tab completes a command and the title of a record, and the completed line runs."""
    terminal = open_terminal(setting.ann)
    terminal.prompt()
    # Only what Tab adds is drawn.
    for typed, added in (("whoa", "mi"), ("\x15get Wi", "ki"), ("--for", "mat")):
        terminal.child.send(typed + "\t")
        terminal.child.expect_exact(added)
    terminal.child.send("json\r")
    terminal.expect(r'"title": "Wiki"')
    terminal.prompt()

    assert terminal.leave() == 0


def test_a_tunnel_lives_in_the_session(setting: Setting, open_terminal: Open) -> None:
    """Tunnel started, listed, used by curl, tailed from a second terminal, and stopped."""
    terminal = open_terminal(setting.ann)
    terminal.prompt()
    port = terminal.start_tunnel()
    tail = setting.ann.start("pam", "tunnel", "tail", TARGET)
    tail.wait_for_line("tunnel-opened")

    answer = fetch(port, "/bytes/100000")
    tail.wait_for_line(r"accept stream=\d+ program=curl")
    closed = tail.wait_for_line(r"close stream=\d+ program=curl bytes_in=(\d+) bytes_out=(\d+)")
    terminal.type("pam tunnel list")
    terminal.expect(rf"Wiki +127\.0\.0\.1:{setting.http.port} +127\.0\.0\.1:{port} +\w+ +open")
    terminal.prompt()
    terminal.type(f"pam tunnel stop {TARGET}")
    terminal.expect("Stopped 1 tunnel")
    terminal.prompt()
    tail.wait_for_line("tunnel-closed: stopped")

    assert answer.returncode == 0, answer.stderr
    assert int(closed[1]) > 100_000
    assert int(closed[2]) > 0
    assert tail.wait() == 0
    assert not setting.product.family.listens(port)
    assert setting.ann.json("pam", "tunnel", "list") == []
    assert terminal.leave() == 0


@contextlib.contextmanager
def connected_program(port: int) -> Iterator[int]:
    """
    The pid of a program that holds a connection to a port.

    One that has just begun: programs are looked for among the newest, and other tests run beside this one.
    """
    connect = f"exec 3<>/dev/tcp/127.0.0.1/{port} && echo connected && read"
    with subprocess.Popen(
        ["bash", "-c", connect], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline() == b"connected\n"
        yield child.pid
        child.stdin.close()


def test_a_set_of_tunnels_in_the_session(setting: Setting, open_terminal: Open) -> None:
    """`up` opens a file's tunnels, `show` names who is on one by its name there, `down` closes all."""
    file = setting.ann.home.work / "session.yaml"
    file.write_text(f"version: 1\ntunnels:\n  wiki: {TARGET}\n  other:\n    record: {TARGET}\n")
    terminal = open_terminal(setting.ann)
    terminal.prompt()
    terminal.type("pam tunnel up -f session.yaml")
    port = int(terminal.expect(r"wiki +Wiki +\S+ +127\.0\.0\.1:(\d+) +\w+ +open")[1])
    terminal.expect(r"other +Wiki .*open")
    terminal.prompt()
    with connected_program(port) as pid:
        terminal.type("pam tunnel show wiki")
        terminal.expect(rf"{pid} +{os.getuid()} ")
        terminal.prompt()
    terminal.type("pam tunnel up -f session.yaml")
    terminal.expect(r"wiki .*already open")
    terminal.prompt()
    terminal.type("pam tunnel down -f session.yaml")
    terminal.expect(r"Stopped 2 tunnels of session\.yaml")
    terminal.prompt()

    assert not setting.product.family.listens(port)
    assert terminal.leave() == 0


def test_a_lost_tunnel_is_told(setting: Setting, open_terminal: Open) -> None:
    """When the gateway dies the session says so by itself, and works on when it is back."""
    terminal = open_terminal(setting.ann)
    terminal.prompt()
    terminal.start_tunnel()
    terminal.child.send("echo still")
    terminal.child.expect_exact("still")

    setting.gateway.kill()

    terminal.expect(f"Tunnel {TARGET} ended: ")
    terminal.child.send(" here\r")
    terminal.expect("still here\r\n")
    terminal.prompt()
    setting.product.start_gateway()
    port = terminal.start_tunnel()
    assert fetch(port).stdout == "hello"
    terminal.type("pam tunnel stop --all")
    terminal.prompt()
    assert terminal.leave() == 0


def test_quit_with_an_open_tunnel_asks(setting: Setting, open_terminal: Open) -> None:
    """`quit` with an open tunnel asks: no stays, yes stops the tunnel and leaves with 0."""
    terminal = open_terminal(setting.ann)
    terminal.prompt()
    port = terminal.start_tunnel()

    terminal.type("quit")
    terminal.expect("1 tunnel is open; stop and leave")
    terminal.type("n")
    terminal.prompt()
    assert fetch(port).stdout == "hello"
    terminal.type("quit")
    terminal.expect("1 tunnel is open; stop and leave")
    terminal.type("y")

    assert terminal.end() == 0
    until(lambda: not setting.product.family.listens(port), "the port closed")
    assert setting.ann.json("pam", "tunnel", "list") == []
