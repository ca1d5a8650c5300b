"""`commander-server start` as a process: what it prints, where it writes, how it ends."""

from __future__ import annotations

import json
import signal
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from urllib.request import urlopen

import pytest

from commander.wire.join import read_join
from tests.support.server_program import PROGRAM, Run, Running, run_server

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


def test_setup_string_is_printed_once(start: Callable[..., Running]) -> None:
    """A second start says how to get another, and that one is another."""
    first = start("--public-name", "vault.example:443")
    join = read_join(first.lines[0].split()[-1], "setup")
    assert join.server == "vault.example:443"
    assert first.lines[-1] == "listening on https://vault.example:443"
    first.stop()

    second = start()
    assert not any("join1." in line for line in second.lines)
    second.stop()
    third = start("--new-setup-string")
    again = read_join(third.lines[0].split()[-1], "setup")

    assert again.secret != join.secret
    assert again.ca == join.ca


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_it_cleanly_and_soon(start: Callable[..., Running], number: int) -> None:
    """With exit code 0, also while somebody holds a connection open."""
    server = start()
    context = ssl.create_default_context(cafile=str(server.data / "ca.pem"))
    with urlopen(f"https://{server.address}/health", context=context, timeout=30) as answer:
        assert json.load(answer)["status"] == "ok"
        began = time.monotonic()
        assert server.stop(number) == 0

    assert time.monotonic() - began < 15


def test_files_are_private_and_the_log_holds_no_secret(start: Callable[..., Running]) -> None:
    """Nothing in the directory is for others; the join string is nowhere in it."""
    server = start("--log-to-stdout")
    text = next(line for line in server.lines if "join1." in line).split()[-1]
    secret = read_join(text, "setup").secret
    server.stop()

    for path in [server.data, *server.data.rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path
        if path.is_file():
            content = path.read_bytes()
            assert secret not in content, path
            assert text.encode() not in content, path


def test_second_server_on_the_same_data_or_port_is_refused(
    start: Callable[..., Running], run: Run, tmp_path: Path
) -> None:
    """Exit code 7 and the way out."""
    server = start()

    same = run("start", "--listen", "127.0.0.1:0")
    other = subprocess.run(
        [*PROGRAM, "start", "--data", str(tmp_path / "other"), "--listen", server.address],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert (same.returncode, other.returncode) == (7, 7)
    assert "another server uses" in same.stderr
    assert "hint:" in other.stderr


def test_certificate_of_ones_own_is_used(start: Callable[..., Running], tmp_path: Path) -> None:
    """With its key; one without the other is a usage error."""
    first = start()
    first.stop()
    for name in ("tls.pem", "tls.key"):
        (tmp_path / name).write_bytes((tmp_path / "data" / name).read_bytes())
    lonely = subprocess.run(
        [*PROGRAM, "start", "--data", str(tmp_path / "data"), "--tls-cert", str(tmp_path / "tls.pem")],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    own = start(
        "--new-setup-string",
        "--tls-cert", str(tmp_path / "tls.pem"), "--tls-key", str(tmp_path / "tls.key"),
    )  # fmt: skip
    join = read_join(own.lines[0].split()[-1], "setup")

    assert join.ca == b""
    assert lonely.returncode == 2
