from __future__ import annotations

import os
import re
import secrets
import signal
import subprocess
from pathlib import Path

import pexpect
import pytest

from tests.support.processes import MARK, Family, Home, marked_processes
from tests.support.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

ROOT = Path(__file__).resolve().parents[2]
SANDBOX = ROOT / "scripts" / "sandbox"
DEADLINE_S = 120


def test_sandbox_without_a_terminal(family: Family, home: Home) -> None:
    """One script, no terminal: PostgreSQL and ssh answer through tunnels, then all is gone."""
    files = home.directory / "sandbox"
    environment = {"SANDBOX_DIRECTORY": str(files)}
    done = family.run([SANDBOX], home, environment=environment, deadline_s=DEADLINE_S)

    assert done.returncode == 0, done.stderr
    assert "psql: PostgreSQL 1" in done.stdout
    assert "ssh: through the tunnel" in done.stdout
    assert not files.exists()
    family.assert_no_orphans()


def test_sandbox_with_a_terminal(home: Home) -> None:
    """One script at a terminal: lines to paste, tunnels open, `My Vault>`; quit ends everything."""
    mark = secrets.token_hex(8)
    files = home.directory / "sandbox"
    environment = home.environment(TERM="xterm", SANDBOX_DIRECTORY=str(files)) | {MARK: mark}
    child = pexpect.spawn(
        str(SANDBOX), env=environment, timeout=DEADLINE_S, encoding="utf-8", dimensions=(40, 160)
    )
    try:
        child.expect(r"psql (postgresql://\S+)")
        assert isinstance(child.match, re.Match)
        url = child.match[1]
        child.expect("My Vault>")
        answer = subprocess.run(
            ["psql", "-XAtqc", "select 6*7", url], capture_output=True, text=True, timeout=60
        )
        child.sendline("pam tunnel list")
        child.expect("Orders DB")
        child.sendline("quit")
        child.expect(pexpect.EOF)
        child.wait()
    finally:
        child.close(force=True)

    assert answer.stdout.strip() == "42", answer.stderr
    assert child.exitstatus == 0
    until(lambda: not marked_processes(mark), "every process of the sandbox gone")
    assert not files.exists()


def test_sandbox_interrupted(family: Family, home: Home) -> None:
    """Ctrl-C while it is starting leaves neither process nor file."""
    files = home.directory / "sandbox"
    environment = {"SANDBOX_DIRECTORY": str(files)}
    child = family.start("sandbox", [SANDBOX], home, environment=environment)
    child.wait_for_line("starting the gateway", deadline_s=DEADLINE_S)

    os.killpg(child.pid, signal.SIGINT)

    assert child.wait() == 130
    family.assert_no_orphans()
    assert not files.exists()
