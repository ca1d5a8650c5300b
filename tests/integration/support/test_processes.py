from __future__ import annotations

import json
import os
import signal
import sys

import pytest

from tests.support.processes import MARK, Family, Home, listening_ports, marked_processes
from tests.support.waiting import NeverHappened

pytestmark = pytest.mark.integration

SLEEPER = [sys.executable, "-c", "print('ready', flush=True); input()"]
LISTENER = "import socket; s = socket.create_server(('127.0.0.1', 0)); "
LISTENER += "print('port', s.getsockname()[1], flush=True); s.accept()"
# Starts a process in a session of its own that outlives it, as a daemon does.
DAEMON_MAKER = (
    "import subprocess, sys; "
    "subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()'], "
    "start_new_session=True, stdin=-3, stdout=-3, stderr=-3)"
)


def test_line_is_awaited_whether_past_or_coming(family: Family, home: Home) -> None:
    """A line that was printed before the wait counts; one that never comes is an error with the output."""
    child = family.start("sleeper", SLEEPER, home, stdin=True)

    child.wait_for_line("ready")

    assert child.wait_for_line("re(ad)y")[1] == "ad"
    with pytest.raises(NeverHappened, match="still runs; it said:\nready"):
        child.wait_for_line("nonsense", deadline_s=0.1)


def test_wait_for_line_ends_with_the_program(family: Family, home: Home) -> None:
    """A program that ends without the line fails the wait at once, with its status."""
    child = family.start("short", [sys.executable, "-c", "raise SystemExit(3)"], home)

    with pytest.raises(NeverHappened, match="ended with status 3"):
        child.wait_for_line("ready")


def test_child_sees_its_own_home_only(
    family: Family, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tester's settings and proxies do not reach a child."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("COMMANDER_SECRET", "x")

    show = "import json, os; print(json.dumps(dict(os.environ)))"
    seen = json.loads(family.run([sys.executable, "-c", show], home).stdout)

    assert seen["HOME"] == str(home.directory)
    assert seen["COMMANDER_HOME"] == str(home.commander)
    assert "HTTPS_PROXY" not in seen
    assert "COMMANDER_SECRET" not in seen


def test_orphans_are_found_and_removed(home: Home) -> None:
    """A detached grandchild is an orphan; closing the family ends it."""
    family = Family()
    family.run([sys.executable, "-c", DAEMON_MAKER], home)
    orphans = family.orphans()

    assert len(orphans) == 1
    with pytest.raises(AssertionError, match="left behind"):
        family.assert_no_orphans(deadline_s=0.1)
    family.close()
    family.assert_no_orphans()


def test_leaving_with_orphans_fails_the_test(home: Home) -> None:
    """The context reports what was left behind, and removes it all the same."""
    family = Family(grace_s=0.1)

    with pytest.raises(AssertionError, match="left behind"), family:
        family.run([sys.executable, "-c", DAEMON_MAKER], home)

    assert marked_processes(family.mark) == {}


def test_kill_leaves_no_time_to_clean_up(family: Family, home: Home) -> None:
    """kill -9 is what it says."""
    child = family.start("sleeper", SLEEPER, home, stdin=True)
    child.wait_for_line("ready")

    child.kill()

    assert child.wait() == -signal.SIGKILL
    assert child.stop() == -signal.SIGKILL


def test_listening_ports_are_those_of_the_process(family: Family, home: Home) -> None:
    """Only the listener's own port is listed, and only while it lives."""
    child = family.start("listener", [sys.executable, "-c", LISTENER], home)
    port = int(child.wait_for_line(r"port (\d+)")[1])

    assert listening_ports([child.pid]) == {port}
    assert port not in listening_ports([os.getpid()])
    child.kill()
    assert listening_ports([child.pid]) == set()


def test_families_nest(family: Family, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a family inside a program of another family leaves behind is found by both."""
    monkeypatch.setenv(MARK, family.mark)
    inner = Family()
    inner.run([sys.executable, "-c", DAEMON_MAKER], home)

    assert family.orphans() == inner.orphans()
    assert len(inner.orphans()) == 1
    inner.close()
    assert family.orphans() == {}
