"""`pam tunnel diagnose` by the real programs, with each part of the way broken in turn."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.setting import TARGET, Setting, invite, running_setting
from tests.support.processes import Home
from tests.support.product import Product, User, wait_for_online
from tests.support.waiting import free_port, until

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).resolve().parents[2]
ORDER = [
    "login", "proxy", "name", "connection", "tls", "server", "clock", "session", "websocket",
    "relay-stream", "stun", "turn", "udp", "record", "policy", "gateway", "decision", "target", "path-relay", "path-direct", "path-webrtc",
    "path-turn",
]  # fmt: skip


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setting]:
    """The product with a target; every test leaves it as it found it."""
    with running_setting(tmp_path_factory.mktemp("diagnose")) as found:
        yield found


class Diagnosis:
    """One run, as scripts read it."""

    def __init__(self, status: int, output: str, errors: str) -> None:
        assert output, errors
        document = json.loads(output)
        assert set(document) == {"record", "server", "state", "exit_code", "checks"}
        assert document["exit_code"] == status
        assert document["state"] == ("fail" if status else "ok")
        self.status = status
        self.checks: dict[str, dict[str, Any]] = {row["check"]: row for row in document["checks"]}
        self.order = list(self.checks)
        self.text = output + errors

    def row(self, check: str) -> tuple[str, str]:
        """State and code of one check."""
        found = self.checks[check]
        if found["state"] == "fail":
            assert found["reason"]
        return found["state"], found["code"]

    def failed(self) -> list[str]:
        """What failed, in order."""
        return [check for check, row in self.checks.items() if row["state"] == "fail"]


def diagnose(user: User, *words: str, environment: Mapping[str, str] | None = None) -> Diagnosis:
    """Run it with JSON; stdout has to be the document alone."""
    done = user.run(
        *words, "pam", "tunnel", "diagnose", TARGET, "--format", "json",
        environment=environment, deadline_s=180.0,
    )  # fmt: skip
    return Diagnosis(done.returncode, done.stdout, done.stderr)


def sample(name: str) -> list[str]:
    """State and title of each line of a sample in docs/diagnose.md."""
    page = (ROOT / "docs" / "diagnose.md").read_text()
    block = page.partition(f"<!-- sample: {name} -->\n")[2].partition("\n\n")[0]
    assert block
    return [row for row in map(row_of, block.splitlines()) if row]


def row_of(line: str) -> str:
    """State and title of a line of the table, without its figures; "" for an advice."""
    words = re.split(r"\s{2,}| (?=[A-Z])", line.strip(), maxsplit=1)
    if words[0] not in ("ok", "FAIL", "warn", "skipped"):
        return ""
    return f"{words[0]} {re.split(r'  +', words[1])[0]}"


def test_all_is_well(setting: Setting) -> None:
    """Every check is there in its order, none failed, and the probes have their figures."""
    found = diagnose(setting.ann)
    shown = setting.ann("pam", "tunnel", "diagnose", TARGET)

    rows = [row for row in map(row_of, shown.splitlines()) if row]
    # No STUN or TURN server is configured in these tests, and a machine with loopback alone has
    # no address for WebRTC.
    usual = [row.replace("skipped ", "ok ").replace("warn Probe", "ok Probe") for row in rows]
    assert usual == sample("well")

    assert (found.failed(), found.status) == ([], 0)
    assert [check for check in found.order if check in ORDER] == ORDER
    assert found.checks["target"]["values"]["connect_ms"] >= 0
    relay = found.checks["path-relay"]["values"]
    assert relay["round_trip_ms"] > 0
    assert min(relay["bytes_per_s_out"], relay["bytes_per_s_in"]) > 0


def test_a_person_reads_a_table_with_what_to_do(setting: Setting) -> None:
    """Without --format json there is a line a check, and an advice below what failed."""
    ann = setting.ann
    ann.add_target("Nobody", f"127.0.0.1:{free_port()}")

    done = ann.run("pam", "tunnel", "diagnose", "Nobody", deadline_s=180.0)

    assert done.returncode == 6
    lines = done.stdout.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("FAIL"))
    assert "Target from the gateway" in lines[at]
    assert "target-refused" in lines[at]
    assert "-> start the service" in lines[at + 1]
    assert lines[-1].endswith("Look at this first: Target from the gateway.")
    assert set(sample("refused")) <= {row_of(line) for line in lines}


def test_without_a_record_the_way_to_the_server_is_checked(setting: Setting) -> None:
    """No record, no gateway: the rest is there."""
    done = setting.ann.run("pam", "tunnel", "diagnose", "--format", "json")

    found = Diagnosis(done.returncode, done.stdout, done.stderr)
    assert (found.status, found.row("websocket")[0]) == (0, "ok")
    assert "target" not in found.checks


def offline(user: User) -> Diagnosis | None:
    """A diagnosis that sees the gateway offline, once the server knows."""
    found = diagnose(user)
    return found if found.row("gateway")[0] == "fail" else None


def test_the_gateway_is_off(setting: Setting) -> None:
    """The row says so, what needs the gateway is skipped, and the rest was checked."""
    gateway = setting.gateway
    gateway.terminate()
    gateway.wait()
    try:
        found = until(lambda: offline(setting.ann), "the gateway seen offline")
    finally:
        setting.product.start_gateway()
        wait_for_online(setting.ann)

    assert found.row("gateway") == ("fail", "gateway-offline")
    assert (found.failed(), found.status) == (["gateway"], 6)
    assert {found.row(check)[0] for check in ("decision", "target", "path-relay")} == {"skipped"}


def test_the_policy_is_missing(setting: Setting) -> None:
    """Whose roles do not grant it is told so by both: exit code 4, and the record can be seen."""
    bob = invite(setting.product, setting.ann, "bob@example.org")
    setting.ann("share-folder", "Infrastructure", "-e", "bob@example.org", "-a", "grant")

    found = diagnose(bob)

    assert found.row("policy") == ("fail", "policy-missing")
    assert "enterprise-role" in found.checks["policy"]["advice"]
    assert found.row("decision")[0] == "fail"
    assert found.status == 4, [found.checks[check] for check in found.failed()]


def test_nobody_is_logged_in(setting: Setting) -> None:
    """The way to the server is checked all the same; the exit code says what is missing."""
    ann = setting.product.user("ann@example.org", name="nobody")
    assert setting.product.address

    found = diagnose(ann, "--server", setting.product.address)

    assert found.row("login") == ("fail", "not-logged-in")
    # Its certificate is of an authority of its own, which only a registered machine knows.
    assert found.row("tls") == ("fail", "certificate-untrusted")
    assert found.status == 6


def test_a_locked_login(setting: Setting) -> None:
    """A machine that knows the server and has no session: everything but the session is fine."""
    ann = setting.ann
    ann("logout")
    try:
        found = diagnose(ann)
    finally:
        ann("login", "--password-file", ann.home.work / "password.txt")

    assert (found.row("login"), found.row("session")[0]) == (("fail", "not-logged-in"), "skipped")
    assert (found.row("clock")[0], found.status) == ("ok", 5)


def test_the_name_of_the_server_is_unknown(tmp_path: Path, setting: Setting) -> None:
    """DNS fails: the row, and nothing after it."""
    user = User(setting.product, "x@example.org", Home(tmp_path / "x"), None)

    found = diagnose(user, "--server", "no-such-server.invalid:8443")

    assert found.row("name") == ("fail", "name-unknown")
    assert (found.row("connection")[0], found.status) == ("skipped", 6)


def test_udp_is_blocked(setting: Setting) -> None:
    """Servers that never answer over UDP are warnings, since tunnels use the relay then."""
    ann, product = setting.ann, setting.product
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        restart_server(product, "--stun-url", f"stun:127.0.0.1:{silent.getsockname()[1]}")
        wait_for_online(ann)
        done = ann.run("pam", "tunnel", "diagnose", "--format", "json", deadline_s=180.0)
    restart_server(product)
    wait_for_online(ann)

    found = Diagnosis(done.returncode, done.stdout, done.stderr)
    assert found.row("stun") == ("warn", "stun-no-answer")
    assert found.row("turn")[0] == "skipped"
    assert found.row("udp") == ("warn", "udp-blocked")
    assert found.status == 0


def restart_server(product: Product, *words: str) -> None:
    """End the server and start it with other words."""
    assert product.server is not None
    product.server.terminate()
    product.server.wait()
    product.start_server(*words)


def test_the_server_is_down(setting: Setting) -> None:
    """Nothing listens: told at the connection; the login of this machine is still fine."""
    server = setting.product.server
    assert server is not None
    server.terminate()
    server.wait()
    try:
        found = diagnose(setting.ann)
    finally:
        setting.product.start_server()
        wait_for_online(setting.ann)

    assert (found.row("login")[0], found.row("connection")) == ("ok", ("fail", "refused"))
    assert found.status == 6


@pytest.mark.parametrize(("offset", "code"), [("+300s", 4), ("-300s", 4)])
def test_the_clock_is_wrong(setting: Setting, offset: str, code: int) -> None:
    """Minutes off: both times are told, and the way to the server is fine."""
    library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    fake = {"LD_PRELOAD": str(library), "FAKETIME": offset, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}

    found = diagnose(setting.ann, environment=fake)
    # A login that was used in the future, or in the past of its last use, may lock.
    setting.ann("login", "--password-file", setting.ann.home.work / "password.txt")

    assert found.row("clock") == ("fail", "clock-wrong")
    assert found.row("tls")[0] == "ok"
    assert found.status == code
