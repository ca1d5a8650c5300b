"""What is done beside a running server."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.support.server_program import Run, Running, run_server

pytestmark = pytest.mark.integration


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    running: list[Running] = []

    def begin(*words: str) -> Running:
        running.append(Running(tmp_path / "data", *words))
        return running[-1]

    yield begin
    for server in running:
        if server.child.poll() is None:
            server.stop(signal.SIGKILL)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return partial(run_server, tmp_path / "data")


def test_status_backup_and_restore_work_beside_a_running_server(
    start: Callable[..., Running], run: Run, tmp_path: Path
) -> None:
    """Each with its exit code."""
    assert run("status").returncode == 3
    server = start()
    backup = tmp_path / "backup"

    status = run("status", "--format", "json")
    made = run("backup", str(backup))
    again = run("backup", str(backup))
    refused = run("restore", str(backup), "--force")
    server.stop()
    stopped = run("status")
    not_empty = run("restore", str(backup))
    restored = run("restore", str(backup), "--force")

    assert json.loads(status.stdout)["status"] == "ok"
    assert json.loads(status.stdout)["schema"]
    codes = [r.returncode for r in (status, made, again, refused, stopped, not_empty, restored)]
    assert codes == [0, 0, 7, 7, 6, 7, 0]
    assert start().lines
