"""The vault without any gateway: one person, two machines, records in every form."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.product import ADMINISTRATOR, FOLDER, PASSWORD, Product, User

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


@dataclass(frozen=True)
class Machines:
    """One person's two machines; on the second one nobody has logged in yet."""

    laptop: User
    desk: User

    def log_in_at_desk(self, password: str = PASSWORD) -> int:
        """With the emergency kit; the exit status."""
        kit = (self.laptop.home.work / "kit.txt").read_text()
        return self.desk.run(
            "login", ADMINISTRATOR,
            "--account-secret-file", self.desk.secret_file("kit.txt", kit),
            "--password-file", self.desk.secret_file("password.txt", password),
        ).returncode  # fmt: skip


@pytest.fixture(scope="module")
def laptop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    with Product(tmp_path_factory.mktemp("product")) as product:
        product.start_server()
        yield product.set_up()


@pytest.fixture
def machines(laptop: User, tmp_path: Path) -> Machines:
    return Machines(laptop, laptop.at_another_machine(tmp_path / "desk"))


def test_a_second_machine(machines: Machines) -> None:
    """Kit and password open the account on a second machine; either alone does not."""
    laptop, desk = machines.laptop, machines.desk
    laptop("record-add", "-t", "Mail", "-rt", "login", "--folder", FOLDER, "login=ann")

    without_kit = desk.run(
        "login", ADMINISTRATOR, "--password-file", desk.secret_file("alone.txt", PASSWORD)
    )
    assert without_kit.returncode != 0
    assert machines.log_in_at_desk("not the password") == 4
    assert machines.log_in_at_desk() == 0
    desk("record-update", "-r", "Mail", "login=anna")

    assert "anna" in laptop("get", "Mail")
    assert laptop.json("whoami")["user_uid"] == desk.json("whoami")["user_uid"]
    assert laptop.json("whoami")["device_uid"] != desk.json("whoami")["device_uid"]
    assert [row["revision"] for row in laptop.json("record-history", "Mail")] == [1, 2]


def test_logout_locks_one_machine(machines: Machines) -> None:
    """After logout commands are exit 5 there, and only there; the password is enough to come back."""
    laptop, desk = machines.laptop, machines.desk
    assert machines.log_in_at_desk() == 0

    desk("logout")

    assert desk.run("ls").returncode == 5
    assert desk.run("login-status").returncode == 5
    assert laptop.run("ls").returncode == 0
    desk("login", "--password-file", desk.home.work / "password.txt")
    assert FOLDER in desk("ls")


def test_records_in_every_form(machines: Machines) -> None:
    """Secrets are masked unless asked for; listings are table, JSON, CSV and YAML with clean stdout."""
    ann = machines.laptop
    ann("record-add", "-t", "Shop", "-rt", "login", "--folder", FOLDER, "login=ann",
        "password=$GEN:rand,20")  # fmt: skip

    shown = ann("get", "Shop")
    secret = ann("get", "Shop", "--format", "password", "--unmask").strip()

    assert len(secret) == 20
    assert secret not in shown
    assert secret not in ann("get", "Shop", "--format", "json")
    (row,) = ann.json("search", "shop")
    assert row["path"] == f"{FOLDER}/Shop"
    assert ann("list", "--format", "csv").splitlines()[0] == "uid,title,type,description,path"
    assert f"- uid: {row['uid']}\n" in ann("list", "--format", "yaml")
    assert "Shop" in ann("list")


def test_refusals_say_what_to_type(machines: Machines) -> None:
    """Unknown commands, unknown names and unasked removals: exit codes, hints, nothing lost."""
    ann = machines.laptop
    ann("record-add", "-t", "Bank", "-rt", "login", "--folder", FOLDER)

    unknown = ann.run("lst")
    missing = ann.run("get", "Nothing", "--format", "json")
    unasked = ann.run("rm", "Bank")

    assert (unknown.returncode, missing.returncode, unasked.returncode) == (2, 3, 2)
    assert "did you mean" in unknown.stderr
    assert set(json.loads(missing.stderr)["error"]) == {"code", "message", "hint"}
    assert unknown.stdout + missing.stdout + unasked.stdout == ""
    assert "Bank" in ann("list")
    ann("rm", "Bank", "-f")
    assert ann.run("get", "Bank").returncode == 3
