"""`pam tunnel start` in each of its modes, as one-shot commands of a shell."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.setting import TARGET, Setting, fetch
from tests.support.processes import marked_processes
from tests.support.servers.postgres import Postgres
from tests.support.waiting import free_port, is_listening, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


@pytest.fixture(autouse=True)
def nothing_left(setting: Setting) -> Iterator[None]:
    """No scenario leaves a tunnel to the next one."""
    yield
    setting.ann("pam", "tunnel", "stop", "--all")


def test_run_passes_variables_and_exit_code(setting: Setting, postgres: Postgres) -> None:
    """--run: psql finds the tunnel by PGHOST and PGPORT, and its exit code is ours."""
    setting.ann.add_target("Orders DB", f"127.0.0.1:{postgres.port}", "pamDatabase")
    setting.ann("record-update", "-r", "Orders DB", "databaseType=postgresql")
    own = postgres.environment()
    account = {name: own[name] for name in ("PGUSER", "PGPASSWORD", "PGDATABASE")}
    words = ("pam", "tunnel", "start", "Orders DB", "--run")

    good = setting.ann.run(*words, "psql -XAtc 'select 6*7'", environment=account)
    bad = setting.ann.run(*words, "echo $PGHOST:$PGPORT = $PAM_HOST:$PAM_PORT; exit 42")

    assert (good.returncode, good.stdout) == (0, "42\n"), good.stderr
    assert bad.returncode == 42
    database, _, machine = bad.stdout.strip().partition(" = ")
    assert database == machine
    assert database.startswith("127.0.0.1:")
    assert setting.ann.json("pam", "tunnel", "list") == []


def test_words_after_dashes_are_a_command(setting: Setting) -> None:
    """-- cmd args: started without a shell between, its words unharmed, its exit code passed on."""
    script = 'curl -sS --noproxy "*" "http://$PAM_HOST:$PAM_PORT/hello"; echo " $1"; exit 3'

    done = setting.ann.run(
        "pam", "tunnel", "start", TARGET, "--", "/bin/sh", "-c", script, "sh", "a  'b"
    )

    assert (done.returncode, done.stdout) == (3, "hello a  'b\n"), done.stderr


def test_background(setting: Setting) -> None:
    """--background: JSON alone on stdout, seen and stopped by other processes, nothing left over."""
    pid_file = setting.ann.home.work / "tunnel.pid"
    done = setting.ann.run(
        "pam", "tunnel", "start", TARGET, "--background", "--pid-file", pid_file,
        "--format", "json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    (listed,) = setting.ann.json("pam", "tunnel", "list")
    pid = int(pid_file.read_text())

    assert fetch(told["port"]).stdout == "hello"
    assert listed["tunnel_id"] == told["tunnel_id"]
    assert listed["pid"] == pid
    assert Path(f"/proc/{pid}").exists()
    setting.ann("pam", "tunnel", "stop", told["tunnel_id"][:8])
    until(lambda: pid not in marked_processes(setting.product.family.mark), "its process gone")
    assert not setting.product.family.listens(told["port"])
    assert not pid_file.exists()


def test_control_c_ends_a_tunnel_in_the_foreground(setting: Setting) -> None:
    """Ctrl-C ends a tunnel in the foreground with 130 and frees its port."""
    tunnel, port = setting.ann.start_tunnel(TARGET)
    assert fetch(port).stdout == "hello"

    tunnel.interrupt()

    assert tunnel.wait() == 130
    assert not setting.product.family.listens(port)
    assert setting.ann.json("pam", "tunnel", "list") == []


def test_a_fixed_port_that_is_taken(setting: Setting) -> None:
    """--port with a port that another program has is exit 7; no other port is taken instead."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = setting.ann.run("pam", "tunnel", "start", TARGET, "--port", str(port))

    assert done.returncode == 7
    assert f"port {port} on 127.0.0.1 is in use" in done.stderr
    assert done.stdout == ""


def test_the_port_of_yesterday(setting: Setting) -> None:
    """The local port of a record is the one it had last time; while that is taken, it is said."""
    port = free_port()
    yesterday, first = setting.ann.start_tunnel(TARGET, "--port", str(port))
    yesterday.interrupt()
    yesterday.wait()

    _, today = setting.ann.start_tunnel(TARGET)
    setting.ann("pam", "tunnel", "stop", TARGET)
    with socket.create_server(("127.0.0.1", port)):
        other = setting.ann.run("pam", "tunnel", "start", TARGET, "--background", "--format=json")

    assert (first, today) == (port, port)
    assert json.loads(other.stdout)["port"] != port
    assert f"Port {port}, where {TARGET} usually is, belongs to another program" in other.stderr


def test_another_loopback_address(setting: Setting) -> None:
    """--host 127.0.0.5 listens there and nowhere else; an address of the network is refused."""
    _, port = setting.ann.start_tunnel(TARGET, "--host", "127.0.0.5", "--port", str(free_port()))
    wide = setting.ann.run("pam", "tunnel", "start", TARGET, "--new", "--host", "0.0.0.0")

    assert fetch(port, host="127.0.0.5").stdout == "hello"
    assert not is_listening(port)
    assert wide.returncode in (2, 4), wide.stderr


def test_a_second_start_gives_the_same_endpoint(setting: Setting) -> None:
    """Starting a record again prints its live endpoint; --new opens another beside it."""
    _, port = setting.ann.start_tunnel(TARGET)

    again = setting.ann.json("pam", "tunnel", "start", TARGET)
    _, other = setting.ann.start_tunnel(TARGET, "--new")

    assert again["port"] == port
    assert other != port
    assert len(setting.ann.json("pam", "tunnel", "list")) == 2
    assert fetch(port).stdout == fetch(other).stdout == "hello"


def test_idle_timeout(setting: Setting) -> None:
    """--idle-timeout stops a tunnel that nobody uses, which is a clean end."""
    tunnel, port = setting.ann.start_tunnel(TARGET, "--idle-timeout", "1s")

    assert tunnel.wait() == 0
    assert "Tunnel stopped: no data for 1 s" in tunnel.output
    assert not setting.product.family.listens(port)


def test_an_unknown_record(setting: Setting) -> None:
    """An unknown record is exit 3, as JSON on stderr when asked for."""
    done = setting.ann.run("pam", "tunnel", "start", "Nothing", "--format", "json")

    assert (done.returncode, done.stdout) == (3, "")
    assert json.loads(done.stderr)["error"]["code"] == "not-found"


def test_a_gateway_that_is_away(setting: Setting) -> None:
    """With the gateway away a start is exit 6; --wait waits until it is there."""
    setting.gateway.stop()

    waiting = setting.ann.start("pam", "tunnel", "start", TARGET, "--wait", "--timeout", "60")
    # The one that waits was refused as well by the time that a later one was.
    refused = setting.ann.run("pam", "tunnel", "start", TARGET)
    assert waiting.is_running
    setting.product.start_gateway()

    port = int(waiting.wait_for_line(r"Listening on: \S*?:(\d+)\b", deadline_s=60)[1])
    assert refused.returncode == 6
    assert "gateway" in refused.stderr
    assert fetch(port).stdout == "hello"
