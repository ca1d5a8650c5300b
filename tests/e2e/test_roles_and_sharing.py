"""A developer who may use a target and nothing else; what is taken away ends what is open."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.setting import TARGET, Setting, fetch, invite, start_download
from tests.support.processes import Child
from tests.support.product import FOLDER, User
from tests.support.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

DEVELOPER = "dev@example.org"
ROLE = ("enterprise-role", "Developers")
SHARE = ("share-folder", FOLDER, "-e", DEVELOPER)
SWITCH = ("pam", "config", "edit", "Network", "--tunneling")


@pytest.fixture(scope="module")
def invited(setting: Setting) -> User:
    """The developer; a role with the policy; a credential linked to the target."""
    developer = invite(setting.product, setting.ann, DEVELOPER)
    setting.ann(*ROLE, "--add", "--enforcement", "ALLOW_LAUNCH_PAM_TUNNELS:true")
    setting.ann("mkdir", "-sf", "Credentials")
    setting.ann("record-add", "-t", "Wiki login", "-rt", "pamUser", "--folder", "Credentials",
                "login=wiki", "password=$GEN:rand,20")  # fmt: skip
    setting.ann("secrets-manager", "share", "add", "--app", FOLDER, "--secret", "Credentials")
    setting.ann("pam", "tunnel", "edit", TARGET, "--launch-credential", "Wiki login")
    return developer


@pytest.fixture
def developer(setting: Setting, invited: User) -> User:
    """The developer with role, share and switch, whatever a scenario before took away."""
    lines = ([*ROLE, "-au", DEVELOPER], [*SHARE, "-a", "grant"], [*SWITCH, "on"])
    setting.ann.batch("\n".join(" ".join(words) for words in lines))
    return invited


Live = Callable[[], tuple[Child, "subprocess.Popen[bytes]"]]


@pytest.fixture
def live(developer: User, tmp_path: Path) -> Iterator[Live]:
    """A tunnel of the developer with a download in it that would go on for minutes."""
    opened: list[tuple[Child, subprocess.Popen[bytes]]] = []

    def live() -> tuple[Child, subprocess.Popen[bytes]]:
        tunnel, port = developer.start_tunnel(TARGET)
        download = start_download(port, tmp_path)
        opened.append((tunnel, download))
        until((tmp_path / "downloaded").exists, "the first bytes")
        return opened[-1]

    yield live
    for tunnel, download in opened:
        tunnel.stop()
        download.kill()
        download.wait()


def refusal(user: User) -> tuple[int, str]:
    """Exit status and code with which a start is refused."""
    done = user.run("pam", "tunnel", "start", TARGET, "--format", "json")
    return done.returncode, str(json.loads(done.stderr)["error"]["code"])


def assert_ended(tunnel: Child, download: subprocess.Popen[bytes]) -> None:
    """Both ends are told soon, and the tunnel's exit status says that it was taken away."""
    assert tunnel.wait(deadline_s=20) == 4, tunnel.output
    assert download.wait(20) != 0


def test_without_the_policy(setting: Setting, developer: User) -> None:
    """Without a role that grants tunnels a shared target is seen and refused: exit 4, policy-missing."""
    setting.ann(*ROLE, "-ru", DEVELOPER)

    assert TARGET in developer("list")
    assert refusal(developer) == (4, "policy-missing")


def test_without_the_share(setting: Setting, developer: User) -> None:
    """What is not shared does not exist for the developer: exit 3."""
    setting.ann(*SHARE, "-a", "remove")

    assert refusal(developer) == (3, "not-found")
    assert TARGET not in developer("list")


def test_a_share_that_ends(setting: Setting, live: Live) -> None:
    """A share of a few seconds carries a real client, and its end ends the live tunnel."""
    setting.ann(*SHARE, "-a", "grant", "--expire-in", "12s")

    assert_ended(*live())


def test_a_share_taken_back(setting: Setting, live: Live) -> None:
    """Removing the share ends the live tunnel within seconds."""
    tunnel, download = live()

    setting.ann(*SHARE, "-a", "remove")

    assert_ended(tunnel, download)


def test_a_role_taken_back(setting: Setting, live: Live) -> None:
    """Taking the role away ends the live tunnel within seconds."""
    tunnel, download = live()

    setting.ann(*ROLE, "-ru", DEVELOPER)

    assert_ended(tunnel, download)


def test_the_switch_of_the_network(setting: Setting, developer: User, live: Live) -> None:
    """Tunneling switched off in the configuration ends what is open and refuses what comes."""
    tunnel, download = live()

    setting.ann(*SWITCH, "off")

    assert_ended(tunnel, download)
    assert refusal(developer) == (4, "tunneling-off")


def test_a_linked_credential_stays_unseen(setting: Setting, developer: User) -> None:
    """The developer uses the target and never sees the credential linked to it."""
    uid = setting.ann.json("get", "Wiki login")["record_uid"]
    done = developer.run(
        "pam", "tunnel", "start", TARGET, "--run",
        "curl -sS --noproxy '*' http://$PAM_HOST:$PAM_PORT/hello",
    )  # fmt: skip

    assert (done.returncode, done.stdout) == (0, "hello"), done.stderr
    assert "Wiki login" not in developer("list") + developer("tree")
    assert developer.run("get", uid).returncode == 3


def test_who_did_what(setting: Setting, developer: User) -> None:
    """The audit log tells intent and outcome with user, program and bytes, and verifies."""
    tunnel, port = developer.start_tunnel(TARGET)
    assert fetch(port).stdout == "hello"
    tunnel.interrupt()
    tunnel.wait()

    def told() -> list[dict[str, Any]]:
        words = ("audit-log", "--user", DEVELOPER, "--record", TARGET)
        return list(setting.ann.json(*words))[-2:]

    until(lambda: [row["event"] for row in told()] == ["tunnel-intent", "tunnel-outcome"], "both")
    intent, outcome = told()
    assert {row["user"] for row in (intent, outcome)} == {DEVELOPER}
    assert intent["details"]["target_port"] == setting.http.port
    assert outcome["details"]["conversation"] == intent["details"]["conversation"]
    assert outcome["details"]["programs"] == "curl"
    assert outcome["details"]["bytes_from_target"] > 0
    assert outcome["signature"] == "valid"
    assert "The audit log is whole" in setting.ann("audit", "verify")
