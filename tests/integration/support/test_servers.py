from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import subprocess
import urllib.request
from pathlib import Path

import pytest

from tests.support.loop_thread import LoopThread
from tests.support.servers.blackhole import Blackhole
from tests.support.servers.http import HttpServer, body
from tests.support.servers.http_proxy import HttpProxy
from tests.support.servers.postgres import Postgres
from tests.support.servers.sshd import Sshd
from tests.support.waiting import free_port, is_listening, until

pytestmark = pytest.mark.integration


def connect(hole: Blackhole, timeout_s: float = 10.0) -> socket.socket:
    return socket.create_connection((hole.host, hole.port), timeout=timeout_s)


def test_postgres_answers_its_own_client(postgres: Postgres) -> None:
    """psql logs in with the password and gets the version."""
    assert postgres.psql("select version()").startswith("PostgreSQL")


def test_a_free_port_is_given_once() -> None:
    """No two callers get the same, and none gets one that somebody has."""
    ports = {free_port() for _ in range(50)}
    with contextlib.ExitStack() as stack:
        for port in ports:
            stack.enter_context(socket.create_server(("127.0.0.1", port)))

    assert len(ports) == 50


def test_postgres_refuses_another_password(postgres: Postgres) -> None:
    """The password is really checked."""
    with pytest.raises(subprocess.CalledProcessError) as failure:
        subprocess.run(
            ["psql", "-X", "-c", "select 1"],
            env={"PATH": os.environ["PATH"], **postgres.environment(), "PGPASSWORD": "wrong"},
            check=True, capture_output=True, text=True,
        )  # fmt: skip

    assert "password authentication failed" in failure.value.stderr


def test_postgres_comes_back_after_a_kill() -> None:
    """A killed server keeps its data and its port over a restart, and goes away at the end."""
    with Postgres() as server:
        server.psql("create table kept as select 7 as n")
        port = server.port
        server.kill()
        until(lambda: not is_listening(port), "the port closed")

        server.start()

        assert server.port == port
        assert server.psql("select n from kept") == "7"
    assert not is_listening(port)


def test_sshd_runs_commands_and_takes_files(sshd: Sshd, tmp_path: Path) -> None:
    """ssh and scp log in with the key, and the exit status comes back."""
    source, target = tmp_path / "from", tmp_path / "to"
    source.write_bytes(body(100_000))

    sshd.copy_to(source, target)

    assert sshd.ssh("echo hello; exit 3").stdout == "hello\n"
    assert sshd.ssh("exit 3").returncode == 3
    assert target.read_bytes() == source.read_bytes()


def test_sshd_refuses_other_keys(sshd: Sshd, tmp_path: Path) -> None:
    """Only the one key logs in."""
    other = tmp_path / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", other], check=True)
    options = [word.replace(str(sshd.key), str(other)) for word in sshd.client_options()]

    done = subprocess.run(
        ["ssh", *options, "-p", str(sshd.port), f"{sshd.user}@{sshd.host}", "true"],
        capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60,
    )  # fmt: skip

    assert done.returncode == 255
    assert "Permission denied" in done.stderr


def test_http_server_serves_checkable_bodies(http_server: HttpServer) -> None:
    """Downloads are of the promised content; uploads are summed."""
    with urllib.request.urlopen(f"{http_server.url}/bytes/300000", timeout=30) as answer:
        assert answer.read() == body(300_000)
    with urllib.request.urlopen(f"{http_server.url}/sum", body(300_000), timeout=30) as answer:
        assert answer.read().decode() == hashlib.sha256(body(300_000)).hexdigest()


def test_proxy_carries_and_counts(server_loop: LoopThread, http_server: HttpServer) -> None:
    """curl through the proxy gets the answer, and the proxy knows of it."""
    proxy = HttpProxy(credentials="ann:secret")
    server_loop.run(proxy.start())
    curl = ["curl", "-sS", "--proxytunnel", "--max-time", "20"]

    done = subprocess.run(
        [*curl, "--proxy", proxy.url, f"{http_server.url}/hello"], capture_output=True, text=True
    )
    nameless = subprocess.run(
        [*curl, "--proxy", f"http://127.0.0.1:{proxy.port}", f"{http_server.url}/hello"],
        capture_output=True, text=True,
    )  # fmt: skip
    server_loop.run(proxy.close())

    assert done.stdout == "hello"
    assert proxy.connects == [f"127.0.0.1:{http_server.port}"]
    assert proxy.bytes_up > 0
    assert proxy.bytes_down > len("hello")
    assert "407" in nameless.stderr
    assert proxy.refused == 1


def test_refusing_target_refuses() -> None:
    """The connection is refused at once."""
    with Blackhole.refusing() as hole, pytest.raises(ConnectionRefusedError):
        connect(hole)


def test_silent_target_lets_connects_time_out() -> None:
    """The connection is neither accepted nor refused."""
    with Blackhole.silent() as hole, pytest.raises(TimeoutError):
        connect(hole, timeout_s=0.5)


def first_byte(hole: Blackhole) -> bytes:
    with connect(hole) as client:
        return client.recv(1)


def test_resetting_target_resets() -> None:
    """The connection is made, then reset; a quick reset is seen by the connect already."""
    with Blackhole.resetting() as hole:
        with pytest.raises(ConnectionResetError):
            first_byte(hole)

        assert hole.connections == 1


def test_closing_target_ends_in_order() -> None:
    """The connection is made, then closed without an error."""
    with Blackhole.closing() as hole, connect(hole) as client:
        assert client.recv(1) == b""


def test_target_that_never_reads_blocks_the_writer() -> None:
    """Once the buffers are full, nothing more is taken."""
    with Blackhole.never_reading() as hole, connect(hole, timeout_s=0.5) as client:
        with pytest.raises(TimeoutError):
            client.sendall(bytes(64 * 1024 * 1024))

        assert hole.connections == 1


def test_flooding_target_sends_without_end() -> None:
    """It sends until the other side goes away."""
    with Blackhole.flooding() as hole, connect(hole) as client:
        got = 0
        while got < 4 * 1024 * 1024:
            got += len(client.recv(1 << 20))

    assert hole.bytes_out >= got


def test_echoing_target_behaves() -> None:
    """The control: bytes come back, and the end is answered with the end."""
    with Blackhole.echoing() as hole, connect(hole) as client:
        client.sendall(b"ping")
        client.shutdown(socket.SHUT_WR)

        assert client.recv(10) == b"ping"
        assert client.recv(10) == b""
