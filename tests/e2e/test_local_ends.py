"""Local ends other than a port: ssh's ProxyCommand, Unix sockets, an address of the record's own."""

from __future__ import annotations

import os
import re
import shlex
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.setting import TARGET, Setting, fetch
from tests.support.browser import Browser
from tests.support.processes import Home, program
from tests.support.servers.http import HttpServer
from tests.support.servers.postgres import Postgres
from tests.support.servers.sshd import Sshd
from tests.support.servers.websocket_app import WebSocketApp
from tests.support.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def host(setting: Setting, sshd: Sshd) -> str:
    """A record of a real sshd."""
    setting.ann.add_target("Build host", f"127.0.0.1:{sshd.port}")
    return "Build host"


@pytest.fixture(autouse=True)
def nothing_left(setting: Setting) -> Iterator[None]:
    """No scenario leaves a tunnel to the next one."""
    yield
    setting.ann("pam", "tunnel", "stop", "--all")


def run(setting: Setting, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """A program that itself starts our program, such as ssh."""
    return setting.product.family.run([str(word) for word in words], setting.ann.home)


def proxied(sshd: Sshd, record: str) -> list[str]:
    """ssh options that reach the server by `--stdio`."""
    command = program(["commander", "pam", "tunnel", "start", record, "--stdio"])
    return [*sshd.client_options(), "-o", f"ProxyCommand={shlex.join(command)}"]


def test_ssh_and_scp_by_stdio(setting: Setting, sshd: Sshd, host: str, tmp_path: Path) -> None:
    """--stdio: ssh passes output and status on, scp carries 5 MB unharmed; no port is opened."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(os.urandom(5_000_000))
    options = proxied(sshd, host)

    listed = run(setting, "ssh", *options, f"{sshd.user}@build.example", "echo $((6*7)); exit 7")
    copied = run(setting, "scp", *options, source, f"{sshd.user}@build.example:{target}")

    assert (listed.returncode, listed.stdout, listed.stderr) == (7, "42\n", "")
    assert copied.returncode == 0, copied.stderr
    assert target.read_bytes() == source.read_bytes()
    assert setting.ann.json("pam", "tunnel", "list") == []


def test_one_connection_for_many_ssh_sessions(setting: Setting, sshd: Sshd, host: str) -> None:
    """ControlMaster over --stdio: later sessions share the first one's tunnel; its end ends it."""
    home: Home = setting.ann.home
    control = home.work / "ssh.ctl"
    where = f"{sshd.user}@build.example"
    master = ["ssh", *proxied(sshd, host), "-S", str(control), "-M", "-f", "-N", where]
    # -f leaves a process with our streams, so they must not be pipes that are waited for.
    started = subprocess.run(
        master,
        env=setting.product.family._environment(home, None),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )
    assert started.returncode == 0
    try:
        (tunnel,) = setting.ann.json("pam", "tunnel", "list")
        for number in range(3):
            done = run(
                setting, "ssh", *sshd.client_options(), "-S", control, where, f"exit {number}"
            )
            assert done.returncode == number
        shown = setting.ann.json("pam", "tunnel", "show", tunnel["tunnel_id"])
        assert [row["program"] for row in shown["open_streams"]] == ["stdio"]
        assert tunnel["local"] == "stdin and stdout"
    finally:
        run(setting, "ssh", *sshd.client_options(), "-S", control, "-O", "exit", where)
    until(lambda: setting.ann.json("pam", "tunnel", "list") == [], "the tunnel gone")


def test_stdio_says_why_it_failed_and_nothing_on_stdout(setting: Setting) -> None:
    """A target that refuses is exit 6 with its reason; a batch has no stdin to give."""
    setting.ann.add_target("Nobody", "127.0.0.1:9")
    refused = setting.ann.run("pam", "tunnel", "start", "Nobody", "--stdio")
    batch = setting.ann.run("-", stdin="pam tunnel start Nobody --stdio\n")

    assert (refused.returncode, refused.stdout) == (6, "")
    assert "refused" in refused.stderr
    assert batch.returncode == 2
    assert "ProxyCommand" in batch.stderr


def test_psql_by_a_unix_socket(setting: Setting, postgres: Postgres) -> None:
    """--unix: for this user alone, found by psql's own variables, gone at the end."""
    setting.ann.add_target("Orders DB", f"127.0.0.1:{postgres.port}", "pamDatabase")
    setting.ann("record-update", "-r", "Orders DB", "databaseType=postgresql")
    own = postgres.environment()
    account = {name: own[name] for name in ("PGUSER", "PGPASSWORD", "PGDATABASE")}
    path = setting.ann.home.work / ".s.PGSQL.5432"

    done = setting.ann.run(
        "pam", "tunnel", "start", "Orders DB", "--unix", path.name, "--run",
        f"stat -c %a {path}; psql -XAtc 'select 6*7'; echo $PAM_SOCKET; pam=$(env | grep -c PAM_PORT); exit $pam",
        environment=account,
    )  # fmt: skip

    assert (done.returncode, done.stdout) == (0, f"600\n42\n{path}\n"), done.stderr
    assert not path.exists()


def test_a_unix_socket_outlives_no_kill(setting: Setting) -> None:
    """After kill -9 the dead socket is replaced by the next tunnel."""
    path = setting.ann.home.work / "wiki.sock"
    words = ("pam", "tunnel", "start", TARGET, "--unix", str(path))
    first = setting.ann.start(*words)
    first.wait_for_line(r"Listening on: \S*wiki.sock")
    first.kill()
    assert stat.S_ISSOCK(path.lstat().st_mode)

    second = setting.ann.start(*words)
    second.wait_for_line(r"Listening on: \S*wiki.sock")
    done = run(setting, "curl", "-sS", "--unix-socket", path, "http://localhost/hello")

    assert done.stdout == "hello"
    second.interrupt()
    second.wait()
    assert not path.exists()


def test_the_targets_own_port_and_a_name(setting: Setting) -> None:
    """--natural: the same 127.x.y.z every day, the target's port, and NAME.localhost for curl."""
    with HttpServer("127.0.0.7") as http:
        setting.ann.add_target("Wiki: internal", f"127.0.0.7:{http.port}")
        child = setting.ann.start("pam", "tunnel", "start", "Wiki: internal", "--natural")
        found = child.wait_for_line(r"Listening on: (127\.\d+\.\d+\.\d+):(\d+)")
        child.wait_for_line("Stop a tunnel")
        address, port = found[1], int(found[2])
        own = fetch(port, host=address).stdout
        named = fetch(port, host="wiki-internal.localhost")
        child.interrupt()
        child.wait()
        with HttpServerOn(port):
            other = setting.ann.start("pam", "tunnel", "start", "Wiki: internal", "--natural")
            again = other.wait_for_line(r"Listening on: (127\.\d+\.\d+\.\d+):(\d+)")
            other.wait_for_line("Stop a tunnel")

    assert port == http.port
    assert re.match(r"127\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7])\.", address)
    assert (own, named.stdout) == ("hello", "hello"), named.stderr
    assert "wiki-internal.localhost" in child.output
    assert (again[1], int(again[2])) == (address, port)
    assert f"another program has port {port}: use {address}" in other.output


def test_a_browser_uses_an_application_by_its_name(setting: Setting, tmp_path: Path) -> None:
    """--natural in Chromium: NAME.localhost opens the page, and its WebSocket goes through the tunnel."""
    with WebSocketApp("127.0.0.8") as application, Browser(tmp_path) as browser:
        setting.ann.add_target("Notebook", f"127.0.0.8:{application.port}")
        child = setting.ann.start("pam", "tunnel", "start", "Notebook", "--natural")
        child.wait_for_line("Stop a tunnel")
        with browser.open(f"http://notebook.localhost:{application.port}/") as page:
            page.wait_for("document.title == 'echoed 100000'")
            child.interrupt()
            page.wait_for("document.title == 'closed'")
        child.wait()


class HttpServerOn(HttpServer):
    """A server that has a port of 127.0.0.1 already."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.port = port


def test_several_ports_of_one_target(setting: Setting) -> None:
    """edit --add-port: opened with the tunnel, each to its own port; taken away by --remove-port."""
    with HttpServer() as first, HttpServer() as second:
        setting.ann.add_target("Two ports", f"127.0.0.1:{first.port}")
        setting.ann("pam", "tunnel", "edit", "Two ports", "--add-port", f"auto:{second.port}")
        script = f"curl -sS --noproxy '*' http://$PAM_HOST:$PAM_PORT_{second.port}/hello"
        both = setting.ann.run("pam", "tunnel", "start", "Two ports", "--run", script)
        seen = second.log
        setting.ann("pam", "tunnel", "edit", "Two ports", "--remove-port", str(second.port))
        gone = setting.ann.run(
            "pam", "tunnel", "start", "Two ports", "--run", f"env | grep -c PAM_PORT_{second.port}"
        )

    assert (both.returncode, both.stdout) == (0, "hello"), both.stderr
    assert "/hello" in seen
    assert gone.stdout == "0\n"


def test_other_machines_only_where_the_record_lets_them(setting: Setting) -> None:
    """--allow-remote is exit 4 until the record's settings allow it; then 0.0.0.0 is listened at."""
    words = ("pam", "tunnel", "start", TARGET, "--host", "0.0.0.0")
    neither = setting.ann.run(*words)
    flag = setting.ann.run(*words, "--allow-remote", "--format", "json")
    setting.ann("pam", "tunnel", "edit", TARGET, "--allow-remote-clients", "on")
    child = setting.ann.start(*words, "--allow-remote")
    port = int(child.wait_for_line(r"Listening on: 0\.0\.0\.0:(\d+)")[1])
    fetched = fetch(port)
    setting.ann("pam", "tunnel", "edit", TARGET, "--allow-remote-clients", "off")

    assert neither.returncode == 4
    assert flag.returncode == 4
    assert "remote-clients-not-allowed" in flag.stderr
    assert fetched.stdout == "hello"
