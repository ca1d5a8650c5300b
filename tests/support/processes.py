"""
Child processes of a test: started with a home of their own, watched by line, and gone at the end.

Every child carries a mark in its environment that its own children inherit, so that `Family.orphans`
finds also those that detached themselves. Nothing here ends a process that does not carry the mark.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.waiting import DEADLINE_S, NeverHappened, until

MARK = "TEST_PROCESS_FAMILY"
PROGRAMS = Path(sys.executable).parent
# Variables that may pass from the tester's session to a child; everything else is left behind.
_PASSED_ON = (
    "PATH",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "COVERAGE_PROCESS_CONFIG",
    "COVERAGE_FILE",
    "COMMANDER_WEBRTC",
)
_KEPT_LINES = 200_000


class Home:
    """The directories of one pretended user on one pretended machine, and the environment that names them."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.directory = directory
        self.commander = directory / ".commander"
        self.runtime = directory / "runtime"
        self.work = directory / "work"
        for path in (self.runtime, self.work):
            path.mkdir(mode=0o700, exist_ok=True)

    def environment(self, **more: str) -> dict[str, str]:
        """What a program of this user sees; `more` comes on top."""
        kept = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        own = {
            "HOME": str(self.directory),
            "XDG_RUNTIME_DIR": str(self.runtime),
            "XDG_CONFIG_HOME": str(self.directory / ".config"),
            "XDG_DATA_HOME": str(self.directory / ".local" / "share"),
            "XDG_CACHE_HOME": str(self.directory / ".cache"),
            "COMMANDER_HOME": str(self.commander),
            "COMMANDER_RUNTIME": str(self.runtime / "commander"),
            "TERM": "dumb",
            "PYTHONUNBUFFERED": "1",
        }
        return kept | own | more


class Child:
    """
    A running program whose output is read all the time, so that it never blocks on a full pipe.

    `lines` holds standard output and error in order of arrival (the first 200,000).
    """

    def __init__(self, name: str, popen: subprocess.Popen[bytes]) -> None:
        self.name = name
        self.popen = popen
        self.lines: list[str] = []
        self._news = threading.Condition()
        self._is_silent = False  # all that it will ever say was read
        self._reader = threading.Thread(target=self._read, name=f"read {name}", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """Process id of the program itself."""
        return self.popen.pid

    @property
    def output(self) -> str:
        """All that was printed until now."""
        with self._news:
            return "\n".join(self.lines)

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self.popen.poll() is None

    def wait_for_line(self, pattern: str, *, deadline_s: float = DEADLINE_S) -> re.Match[str]:
        """
        The first line, past or coming, that the pattern is found in.

        Raises NeverHappened with the output when the program ends or the deadline passes first.
        """
        wanted = re.compile(pattern)
        end = time.monotonic() + deadline_s
        seen = 0
        with self._news:
            while True:
                for line in self.lines[seen:]:
                    if found := wanted.search(line):
                        return found
                seen = len(self.lines)
                left = end - time.monotonic()
                if left <= 0 or self._is_silent:
                    break
                self._news.wait(left)
        if self._is_silent:
            # Its output ends a moment before it does.
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.popen.wait(5.0)
        why = "still runs" if self.is_running else f"ended with status {self.popen.returncode}"
        raise NeverHappened(
            f"{self.name} never said {pattern!r} and {why}; it said:\n{self.output}"
        )

    def write(self, text: str) -> None:
        """Send text to its standard input; it must have been started with one."""
        assert self.popen.stdin is not None, "start it with stdin=True"
        self.popen.stdin.write(text.encode())
        self.popen.stdin.flush()

    def interrupt(self) -> None:
        """What Ctrl-C in its terminal does."""
        self._signal(signal.SIGINT)

    def terminate(self) -> None:
        """Ask it to end."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """kill -9: no chance to clean up. Returns when it is gone."""
        self._signal(signal.SIGKILL)
        self.wait()

    def wait(self, *, deadline_s: float = DEADLINE_S) -> int:
        """Its exit status (negative: the signal). Raises NeverHappened when it goes on."""
        try:
            status = self.popen.wait(deadline_s)
        except subprocess.TimeoutExpired:
            raise NeverHappened(
                f"{self.name} still runs after {deadline_s:g} s; it said:\n{self.output}"
            ) from None
        # What it said last is read a moment later; a child of its own may hold the pipe for good.
        self._reader.join(5.0)
        return status

    def stop(self, *, deadline_s: float = DEADLINE_S) -> int:
        """Terminate, wait, and kill what does not listen; the exit status. May be called again."""
        if self.is_running:
            self.terminate()
        try:
            return self.wait(deadline_s=deadline_s)
        except NeverHappened:
            self.kill()
            raise
        finally:
            if self.popen.stdin is not None:
                with contextlib.suppress(OSError):
                    self.popen.stdin.close()

    def _signal(self, number: signal.Signals) -> None:
        # Popen remembers that it was reaped, so a recycled pid is never hit.
        self.popen.send_signal(number)

    def _read(self) -> None:
        assert self.popen.stdout is not None
        with self.popen.stdout as stream:
            for raw in stream:
                with self._news:
                    if len(self.lines) < _KEPT_LINES:
                        self.lines.append(raw.decode(errors="replace").rstrip("\n"))
                    self._news.notify_all()
        with self._news:
            self._is_silent = True
            self._news.notify_all()


class Family:
    """
    All processes of one test. Leaving it stops the children, newest first, and fails on orphans.

        with Family() as family:
            server = family.start("server", ["commander-server", "start"], home)
            server.wait_for_line("listening on")
    """

    def __init__(self, *, grace_s: float = 30.0) -> None:
        self.grace_s = grace_s  # how long descendants may take to follow a child that ended
        self.mark = secrets.token_hex(8)
        self.variables: dict[str, str] = {}  # what every program of the family sees besides
        self.children: list[Child] = []

    def start(
        self,
        name: str,
        command: Sequence[str | Path],
        home: Home,
        *,
        environment: Mapping[str, str] | None = None,
        stdin: bool = False,
        prefix: Sequence[str] = (),
    ) -> Child:
        """
        Start a program, ours by its bare name. `prefix` runs it elsewhere, for example in a namespace.

        It gets a session of its own, as if started from another terminal.
        """
        popen = subprocess.Popen(
            [*prefix, *program(command)],
            env=self._environment(home, environment),
            cwd=home.work,
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        child = Child(name, popen)
        self.children.append(child)
        return child

    def run(
        self,
        command: Sequence[str | Path],
        home: Home,
        *,
        environment: Mapping[str, str] | None = None,
        stdin: str = "",
        prefix: Sequence[str] = (),
        deadline_s: float = 60.0,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program to its end with standard output and error apart; any exit status is fine."""
        return subprocess.run(
            [*prefix, *program(command)],
            env=self._environment(home, environment),
            cwd=home.work,
            input=stdin,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=deadline_s,
            check=False,
            start_new_session=True,
        )

    def orphans(self) -> dict[int, str]:
        """Processes that carry the family's mark and are not its own running children: pid, command line."""
        own = {child.pid for child in self.children if child.is_running}
        return {pid: line for pid, line in marked_processes(self.mark).items() if pid not in own}

    def listens(self, port: int) -> bool:
        """
        Tell whether a process of the family listens there.

        Whether anybody does is another question: the port that a tunnel has freed is the first that one of another
        test takes.
        """
        return port in listening_ports([*marked_processes(self.mark)])

    def assert_no_orphans(self, *, deadline_s: float | None = None) -> None:
        """Fail unless every descendant that is not a child of ours ends within the deadline."""
        with contextlib.suppress(NeverHappened):
            until(
                lambda: not self.orphans(),
                "no orphans",
                deadline_s=self.grace_s if deadline_s is None else deadline_s,
            )
        assert not self.orphans(), f"processes left behind: {self.orphans()}"

    def stop_children(self) -> None:
        """Stop the children, newest first; one that does not listen is killed."""
        for child in reversed(self.children):
            with contextlib.suppress(NeverHappened):
                child.stop()

    def close(self) -> None:
        """Stop the children and kill what they left behind; never raises for a child that ended badly."""
        self.stop_children()
        for pid in marked_processes(self.mark):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        until(lambda: not marked_processes(self.mark), "the killed processes gone")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.stop_children()
            if kind is None:
                self.assert_no_orphans()
        finally:
            self.close()

    def _environment(self, home: Home, more: Mapping[str, str] | None) -> dict[str, str]:
        # A family inside a child of another one adds its mark, so that both find what is left.
        marks = ":".join((*inherited_mark().values(), self.mark))
        return home.environment(**(self.variables | dict(more or {}))) | {MARK: marks}


def inherited_mark() -> dict[str, str]:
    """What a server that is no member of a family gets into its environment, to be found as well."""
    return {MARK: os.environ[MARK]} if MARK in os.environ else {}


def program(command: Sequence[str | Path]) -> list[str]:
    """The command with a program of this project's environment named by its full path."""
    first, *rest = (str(word) for word in command)
    ours = PROGRAMS / first
    return [str(ours) if "/" not in first and ours.exists() else first, *rest]


def marked_processes(mark: str) -> dict[int, str]:
    """Living processes whose environment holds the mark of a family: pid to command line."""
    found = {}
    for pid in process_ids():
        with contextlib.suppress(OSError):
            entry = Path("/proc") / str(pid)
            # A process that was not reaped yet has ended; only its number is left.
            if mark in _marks((entry / "environ").read_bytes()):
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ")
                found[pid] = line.decode(errors="replace")
    return found


def _marks(environment: bytes) -> list[str]:
    prefix = f"{MARK}=".encode()
    for variable in environment.split(b"\0"):
        if variable.startswith(prefix):
            return variable.removeprefix(prefix).decode(errors="replace").split(":")
    return []


def process_ids() -> Iterator[int]:
    """Every process this machine shows us."""
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            yield int(entry)


def listening_ports(pids: Sequence[int]) -> set[int]:
    """TCP ports these processes listen on (in their own network namespace)."""
    ports: set[int] = set()
    for pid in pids:
        inodes = _socket_inodes(pid)
        for table in ("tcp", "tcp6"):
            with contextlib.suppress(OSError):
                rows = Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
                ports |= {
                    int(row[1].rpartition(":")[2], 16)
                    for row in map(str.split, rows)
                    if row[3] == "0A" and row[9] in inodes
                }
    return ports


def _socket_inodes(pid: int) -> set[str]:
    inodes = set()
    with contextlib.suppress(OSError):
        for handle in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                target = os.readlink(f"/proc/{pid}/fd/{handle}")
                if target.startswith("socket:["):
                    inodes.add(target[8:-1])
    return inodes
