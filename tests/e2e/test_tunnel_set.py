"""`pam tunnel up`, `down` and `status`: a file of tunnels, as one-shot commands and in a batch."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.e2e.setting import TARGET, Setting, fetch
from tests.support.processes import marked_processes
from tests.support.product import FOLDER
from tests.support.servers.postgres import Postgres
from tests.support.waiting import free_port, is_listening, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def orders(setting: Setting, postgres: Postgres) -> str:
    """A record of a real PostgreSQL."""
    setting.ann.add_target("Orders DB", f"127.0.0.1:{postgres.port}", "pamDatabase")
    setting.ann("record-update", "-r", "Orders DB", "databaseType=postgresql")
    return "Orders DB"


@pytest.fixture(scope="module")
def away(setting: Setting) -> str:
    """A record behind a gateway that has been stopped."""
    join = setting.ann.home.work / "away-join.txt"
    setting.ann("pam", "gateway", "new", "-n", "Away", "-a", FOLDER, "--join-file", join)
    gateway = setting.product.start_gateway("away", join=join)
    setting.ann.configure_network("Away network", gateway="Away")
    setting.ann.add_target("Far host", "127.0.0.1:9", network="Away network")
    gateway.stop()
    return "Far host"


@pytest.fixture(autouse=True)
def nothing_left(setting: Setting) -> Iterator[None]:
    """No scenario leaves a tunnel to the next one."""
    yield
    setting.ann("pam", "tunnel", "stop", "--all")


def write_file(setting: Setting, text: str) -> None:
    """The tunnels file of the directory in which commands are run."""
    (setting.ann.home.work / "tunnels.yaml").write_text(f"version: 1\ntunnels:\n{text}")


def test_a_command_beside_a_set(setting: Setting, postgres: Postgres, orders: str) -> None:
    """up -- cmd: psql and curl find their tunnels by variables; its exit code is ours; nothing is left."""
    write_file(setting, f"  wiki: {TARGET}\n  orders-db:\n    record: {orders}\n    after: wiki\n")
    own = postgres.environment()
    account = {name: own[name] for name in ("PGUSER", "PGPASSWORD", "PGDATABASE")}
    script = (
        "psql -XAtc 'select 6*7'; psql -XAt -h $ORDERS_DB_HOST -p $ORDERS_DB_PORT -c 'select 7*7'; "
        "curl -sS --noproxy '*' http://$WIKI_ADDRESS/hello; exit 42"
    )

    done = setting.ann.run(
        "pam", "tunnel", "up", "--", "/bin/sh", "-c", script, environment=account
    )

    assert (done.returncode, done.stdout) == (42, "42\n49\nhello"), done.stderr
    assert setting.ann.json("pam", "tunnel", "list") == []


def test_a_set_in_the_background(setting: Setting, orders: str) -> None:
    """up --background, again, status, down: idempotent, seen from every process, nothing left over."""
    port = free_port()
    write_file(setting, f"  wiki:\n    record: {TARGET}\n    port: {port}\n  orders-db: {orders}\n")
    closed = setting.ann.run("pam", "tunnel", "status", "--check", "--format", "json")
    opened = setting.ann.json("pam", "tunnel", "up", "--background")
    again = setting.ann.json("pam", "tunnel", "up")

    assert closed.returncode == 6
    assert [row["state"] for row in json.loads(closed.stdout)] == ["closed", "closed"]
    assert [(row["name"], row["state"]) for row in opened] == [
        ("wiki", "open"), ("orders-db", "open"),
    ]  # fmt: skip
    assert [row["state"] for row in again] == ["already open", "already open"]
    assert [row["local"] for row in again] == [row["local"] for row in opened]
    assert opened[0]["local"] == f"127.0.0.1:{port}"
    assert fetch(port).stdout == "hello"
    status = setting.ann.json("pam", "tunnel", "status", "--check")
    assert [row["state"] for row in status] == ["open", "open"]
    pid = status[0]["pid"]
    stopped = setting.ann.json("pam", "tunnel", "down")
    assert len(stopped["stopped"]) == 2
    until(lambda: pid not in marked_processes(setting.product.family.mark), "its process gone")
    assert not is_listening(port)
    assert setting.ann.json("pam", "tunnel", "down")["stopped"] == []


def test_all_or_nothing(setting: Setting, away: str) -> None:
    """One that cannot be opened closes the others again, and says why; --keep-going keeps them."""
    write_file(setting, f"  wiki: {TARGET}\n  far:\n    record: {away}\n    after: wiki\n")

    none = setting.ann.run("pam", "tunnel", "up", "--format", "json")
    rows = json.loads(none.stdout)

    assert none.returncode == 6, none.stderr
    assert [row["state"] for row in rows] == ["closed again", "failed"]
    assert rows[1]["code"] == "gateway-offline"
    assert "tunnels.yaml:4: far: " in none.stderr
    assert setting.ann.json("pam", "tunnel", "list") == []
    some = setting.ann.run("pam", "tunnel", "up", "--keep-going", "--background")
    assert some.returncode == 6
    assert [row["record"] for row in setting.ann.json("pam", "tunnel", "list")] == [TARGET]


def test_a_taken_port_is_found_before_anything_is_opened(setting: Setting) -> None:
    """Exit 7, the line of the file, and the other tunnel was not even tried."""
    taken = setting.http.port
    write_file(setting, f"  one: {TARGET}\n  two:\n    record: {TARGET}\n    port: {taken}\n")
    done = setting.ann.run("pam", "tunnel", "up", "--format", "json")

    assert done.returncode == 7
    assert [row["state"] for row in json.loads(done.stdout)] == ["would open", "failed"]
    assert f"port {taken} on 127.0.0.1 is in use" in done.stderr


def test_a_file_with_mistakes(setting: Setting) -> None:
    """Exit 2, each mistake with its line and the nearest word, as JSON when asked for."""
    write_file(setting, f"  wiki:\n    recrod: {TARGET}\n    port: 99999\n")
    done = setting.ann.run("pam", "tunnel", "up", "--format", "json")

    assert (done.returncode, done.stdout) == (2, "")
    told = json.loads(done.stderr)["error"]
    assert (
        "tunnels.yaml:4: 'recrod' is not a key of a tunnel; did you mean 'record'?"
        in told["message"]
    )
    assert "tunnels.yaml:5: port: '99999' is not a port" in told["message"]
    missing = setting.ann.run("pam", "tunnel", "up", "-f", "none.yaml")
    assert missing.returncode == 3


def test_a_set_in_a_batch(setting: Setting) -> None:
    """Opened by one line, used by the next, gone when the batch ends; a dry run opens nothing."""
    write_file(setting, f"  wiki: {TARGET}\n  other:\n    record: {TARGET}\n    unix: wiki.sock\n")
    dry = setting.ann.json("pam", "tunnel", "up", "--dry-run")
    text = setting.ann.batch(
        "pam tunnel up --format json\npam tunnel status --check --format json\n"
    )

    assert [row["state"] for row in dry] == ["would open", "would open"]
    decoder = json.JSONDecoder()
    opened, end = decoder.raw_decode(text)
    status, _ = decoder.raw_decode(text[end:].lstrip())
    socket = setting.ann.home.work.resolve() / "wiki.sock"
    assert [row["state"] for row in opened] == ["open", "open"]
    assert opened[1]["local"] == str(socket)
    assert [row["state"] for row in status] == ["open", "open"]
    assert setting.ann.json("pam", "tunnel", "list") == []
    assert not socket.exists()


def test_a_set_in_the_foreground_ends_with_a_signal(setting: Setting) -> None:
    """SIGTERM and Ctrl-C close all of it."""
    ports = [free_port(), free_port()]
    write_file(
        setting,
        "".join(
            f"  t{n}:\n    record: {TARGET}\n    port: {port}\n" for n, port in enumerate(ports)
        ),
    )
    for number, end in ((130, "interrupt"), (143, "terminate")):
        child = setting.ann.start("pam", "tunnel", "up")
        child.wait_for_line(r"t1 .*open")
        assert [fetch(port).stdout for port in ports] == ["hello", "hello"]
        getattr(child, end)()
        assert child.wait() == number
        assert not any(map(is_listening, ports))
