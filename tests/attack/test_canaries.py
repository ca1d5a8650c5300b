"""
Marked secrets go through the whole product, and are looked for wherever they must not be.

Titles, folder, application and gateway names, hosts, logins, passwords, notes, the account's
password and secret, tokens, SQL on its way through a tunnel, and what a Secrets Manager device writes
and attaches by the official SDK: none of it may be in a file of the server, a log, an argument, an environment, a temporary file, or the memory of the server, which is
the router too. What the documents name as visible (docs/who-sees-what.md) is the control.
"""

from __future__ import annotations

import base64
import json
import os
import re
import secrets
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from keeper_secrets_manager_core import SecretsManager  # type: ignore[import-untyped]
from keeper_secrets_manager_core.core import KeeperFileUpload  # type: ignore[import-untyped]
from keeper_secrets_manager_core.dto.dtos import (  # type: ignore[import-untyped]
    RecordCreate,
    RecordField,
)
from keeper_secrets_manager_core.dto.payload import CreateOptions  # type: ignore[import-untyped]
from keeper_secrets_manager_core.storage import (  # type: ignore[import-untyped]
    InMemoryKeyValueStorage,
)

from tests.support.canaries import Canaries, Finding, Scanner
from tests.support.processes import Child, marked_processes
from tests.support.product import ADMINISTRATOR, Product, User
from tests.support.sdk_devices import sdk_environment
from tests.support.servers.postgres import Postgres
from tests.support.waiting import until

pytestmark = pytest.mark.integration
VISIBLE = "Visible Enterprise"
"""In names that the server is documented to see; planted to show that the search finds it."""


@dataclass
class Planted:
    """A product through which marked values went, and what looks for them."""

    product: Product
    ann: User
    scanner: Scanner
    temporary: Path
    join: Path
    tunnels: list[Child] = field(default_factory=list)

    def processes(self) -> dict[int, str]:
        """Every living process of the product: pid and command line."""
        return marked_processes(self.product.family.mark)

    def scan_server_files(self) -> list[Finding]:
        """The server's directory: database, WAL, keys, certificate, logs."""
        return self.scanner.scan_tree(self.product.directory / "server")

    def scan_other_files(self) -> list[Finding]:
        """Gateway, client, runtime and temporary directories, but not what a person typed in."""
        found = self.scanner.scan_tree(self.product.directory / "gateway")
        home = self.ann.home
        for directory in (home.commander, home.runtime, self.temporary):
            found += self.scanner.scan_tree(directory)
        return found

    def scan_outputs(self) -> list[Finding]:
        """What the long-running programs printed."""
        return [
            finding
            for child in self.product.family.children
            for finding in self.scanner.scan_bytes(child.output.encode(), f"output of {child.name}")
        ]

    def scan_arguments(self) -> list[Finding]:
        """Arguments and environments of all living processes."""
        found: list[Finding] = []
        for pid in self.processes():
            for name in ("cmdline", "environ"):
                data = Path(f"/proc/{pid}/{name}").read_bytes()
                found += self.scanner.scan_bytes(data, f"{name} of {pid}")
        return found


def unusual_address() -> str:
    """A loopback address that no gateway here may connect, unlikely to be anywhere by chance."""
    numbers = [str(100 + secrets.randbelow(150)) for _ in range(3)]
    return ".".join(["127", *numbers])


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory, postgres: Postgres) -> Iterator[Planted]:
    """The whole scenario, with its tunnel still open."""
    directory = tmp_path_factory.mktemp("canaries")
    directory.chmod(0o700)
    temporary = directory / "tmp"
    temporary.mkdir(mode=0o700)
    canaries, forbidden = Canaries(), unusual_address()
    with Product(directory) as product:
        product.family.variables["TMPDIR"] = str(temporary)
        product.start_server()
        ann = set_up(product, canaries)
        join = ann.home.work / "own-gateway.txt"
        fill_vault(ann, canaries, join, postgres, forbidden)
        product.start_gateway(join=join, allow="127.0.0.1/32")
        ann.batch(protect(canaries))
        values = {"mark": canaries.mark.encode(), "forbidden host": forbidden.encode()}
        device = new_device(ann, canaries)
        scanner = Scanner(values | secrets_of(ann, join) | keys_of(device))
        found = Planted(product, ann, scanner, temporary, join)
        use_tunnels(found, canaries, postgres)
        use_device(found, canaries, device)
        yield found


def set_up(product: Product, canaries: Canaries) -> User:
    """An account with a marked password, on a server that documents its enterprise's name as visible."""
    home = product.user(ADMINISTRATOR)
    password = home.secret_file("marked-password.txt", canaries.password())
    return product.set_up(
        ADMINISTRATOR, "--password-file", str(password), "--enterprise", VISIBLE,
        "--gateway-name", canaries.title(1),
    )  # fmt: skip


def fill_vault(
    ann: User, canaries: Canaries, join: Path, postgres: Postgres, forbidden: str
) -> None:
    """Folders, applications, tokens and records, all by a batch on standard input."""
    ann.secret_file("record-password.txt", canaries.password(2))
    ann.batch(
        f"""
        mkdir -sf "{canaries.title(2)}"
        mkdir "{canaries.title(2)}/{canaries.title(3)}"
        secrets-manager app create "{canaries.title(4)}"
        secrets-manager share add --app "{canaries.title(4)}" --secret "{canaries.title(2)}"
        secrets-manager client add --app "{canaries.title(4)}" --name "{canaries.title(5)}"
        pam gateway new --name "{canaries.title(6)}" --application "{canaries.title(4)}" --join-file {join}
        record-add -t "{canaries.title(7)}" -rt pamDatabase --folder "{canaries.title(2)}" -n "Notes {canaries.mark}" pamHostname=127.0.0.1:{postgres.port}
        record-add -t "{canaries.title(8)}" -rt pamMachine --folder "{canaries.title(2)}" pamHostname={canaries.host(1)}:22
        record-add -t "{canaries.title(9)}" -rt pamMachine --folder "{canaries.title(2)}" pamHostname={forbidden}:22
        record-add -t "{canaries.title(10)}" -rt login login={canaries.word(1)} --field-file password={ann.home.work}/record-password.txt
        """.strip()
    )


def protect(canaries: Canaries) -> str:
    """Tunnel settings of the three targets, once the gateway exists."""
    lines = [
        f'pam config new --title "{canaries.title(11)}" --gateway "{canaries.title(6)}"'
        f' --shared-folder "{canaries.title(2)}" --tunneling on --network-id {canaries.word(2)}'
    ]
    lines += [
        f'pam tunnel edit "{canaries.title(number)}" --enable-tunneling'
        f' --configuration "{canaries.title(11)}"'
        for number in (7, 8, 9)
    ]
    return "\n".join(lines)


def secrets_of(ann: User, join: Path) -> dict[str, bytes]:
    """What is random by nature: the account secret in the kit, the gateway's join string."""
    kit = (ann.home.work / "kit.txt").read_text()
    found = re.search(r"[Aa]ccount secret\W+([\w-]+)", kit)
    assert found, kit
    return {"account secret": found[1].encode(), "join string": join.read_bytes().strip()}


def new_device(ann: User, canaries: Canaries) -> dict[str, str]:
    """The configuration of a device whose keys the owner's client made."""
    application = canaries.title(4)
    ann.batch(
        f'secrets-manager share update --app "{application}" --secret "{canaries.title(2)}" --editable'
    )
    words = [
        "client",
        "add",
        "--app",
        application,
        "--name",
        canaries.title(16),
        "--config-init",
        "b64",
    ]
    text = ann.batch(shlex.join(["secrets-manager", *words]))
    found: dict[str, str] = json.loads(base64.b64decode(text.split()[-1]))
    return found


def keys_of(device: dict[str, str]) -> dict[str, bytes]:
    """What the server must never have of a device and its application."""
    return {
        "application key": base64.b64decode(device["appKey"]),
        "device key": base64.b64decode(device["privateKey"])[36:68],
    }


def use_device(planted: Planted, canaries: Canaries, device: dict[str, str]) -> None:
    """Folder, record, change, transaction, attachment and deletion by the official SDK."""
    content = f"attached {canaries.mark} ".encode() * 20_000
    file = KeeperFileUpload()
    file.Name, file.Title, file.Type = canaries.word(3), canaries.title(12), "text/plain"
    file.Data = content
    with sdk_environment(planted.product.data / "ca.pem"):
        text = base64.b64encode(json.dumps(device).encode()).decode()
        manager = SecretsManager(config=InMemoryKeyValueStorage(text))
        folder = next(f.folder_uid for f in manager.get_folders() if f.name == canaries.title(2))
        inner = manager.create_folder(CreateOptions(folder, None), canaries.title(13))
        record = RecordCreate("login", canaries.title(14))
        record.fields = [RecordField("password", canaries.password(3))]
        uid = manager.create_secret_with_options(CreateOptions(folder, inner), record)
        manager.update_folder(inner, canaries.title(15))
        (made,) = manager.get_secrets([uid])
        made.field("password", canaries.password(4))
        manager.save(made, transaction_type="rotation")
        manager.complete_transaction(uid)
        (made,) = manager.get_secrets([uid])
        manager.upload_file(made, file)
        (made,) = manager.get_secrets([uid])
        assert made.files[0].get_file_data() == content
        gone = manager.create_secret(folder, record)
        manager.delete_secret(gone)
    planted.ann("sync-down")


def use_tunnels(planted: Planted, canaries: Canaries, postgres: Postgres) -> None:
    """SQL through a tunnel that stays open, a host that does not resolve, and one that is forbidden."""
    ann = planted.ann
    uids = {row["title"]: row["uid"] for row in ann.json("search", canaries.mark)}
    child, port = ann.start_tunnel(uids[canaries.title(7)])
    planted.tunnels.append(child)
    answer = subprocess.run(
        ["psql", "-h", "127.0.0.1", "-p", str(port), "-U", postgres.user, "-At", "-d", "postgres"],
        input=canaries.sql(),
        env={"PATH": os.environ["PATH"], "PGPASSWORD": postgres.password},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert answer.stdout.strip() == canaries.mark
    unresolved, port = ann.start_tunnel(uids[canaries.title(8)])
    planted.tunnels.append(unresolved)
    with pytest.raises(subprocess.CalledProcessError):
        subprocess.run(
            ["curl", "-sS", "--noproxy", "*", "--max-time", "20", f"http://127.0.0.1:{port}/"],
            capture_output=True, timeout=60, check=True,
        )  # fmt: skip
    unresolved.stop()
    ann("pam", "tunnel", "start", uids[canaries.title(9)], status=4)
    wanted = {"tunnel-intent", "tunnel-outcome", "command-refused"}
    until(
        lambda: wanted <= {event["event"] for event in ann.json("audit-log")},
        "the audit events stored",
    )
    ann("audit", "verify")


def told(findings: list[Finding]) -> list[str]:
    """What was found, for people."""
    return sorted(map(str, findings))


def test_nothing_is_in_a_file_of_the_server(planted: Planted) -> None:
    """Database, write-ahead log and everything else below the server's directory."""
    files = {path.name for path in planted.product.data.iterdir()}
    assert {"server.db", "server.db-wal", "files"} <= files
    (attachment,) = (planted.product.data / "files").iterdir()
    assert attachment.stat().st_size > 100_000
    assert told(planted.scan_server_files()) == []


def test_nothing_is_in_the_memory_of_the_server(planted: Planted) -> None:
    """Server and router are one process; all of its readable memory is searched."""
    assert planted.product.server is not None
    assert told(planted.scanner.scan_process(planted.product.server.pid)) == []


def test_nothing_is_in_a_log_or_another_file(planted: Planted) -> None:
    """Logs and state of gateway and client, tunnel logs, temporary files, and what was printed."""
    logs = list(planted.ann.home.runtime.rglob("*.jsonl"))
    assert logs
    others = [f for f in planted.scan_other_files() if not is_the_gateways_own(f)]
    assert told(others) == []
    outputs = [f for f in planted.scan_outputs() if not is_shown_to_its_user(planted, f)]
    assert told(outputs) == []


def is_the_gateways_own(finding: Finding) -> bool:
    """A gateway's configuration holds the key of the application whose records it reads."""
    return finding.name == "application key" and "gateway-config.json" in finding.where


def is_shown_to_its_user(planted: Planted, finding: Finding) -> bool:
    """A foreground tunnel tells the person who started it which record it is for."""
    return any(finding.where == f"output of {child.name}" for child in planted.tunnels)


def test_nothing_is_in_an_argument_or_environment(planted: Planted) -> None:
    """Of any process of the product: server, gateway, and the host of a tunnel."""
    assert len(planted.processes()) >= 3
    assert told(planted.scan_arguments()) == []


def test_control_what_is_documented_as_visible_is_found(planted: Planted) -> None:
    """The enterprise's name and the account's e-mail, which the server sees, are in both places."""
    scanner = Scanner({"e-mail": ADMINISTRATOR.encode(), "enterprise": VISIBLE.encode()})
    assert planted.product.server is not None

    assert {f.name for f in scanner.scan_tree(planted.product.data)} == {"e-mail", "enterprise"}
    assert scanner.scan_memory(planted.product.server.pid)


def test_control_a_planted_value_is_found(planted: Planted, canaries: Canaries) -> None:
    """A marked value that a person does put where the server sees it: a role's name."""
    name = canaries.title()
    planted.ann("enterprise-role", name, "--add")
    scanner = canaries.scanner()
    assert planted.product.server is not None

    in_files = scanner.scan_tree(planted.product.data)
    in_memory = scanner.scan_memory(planted.product.server.pid)

    assert {finding.encoding for finding in in_files} >= {"raw"}
    assert in_memory


# --- the two exceptions ------------------------------------------------------------------------------


def test_exception_one_the_join_string_as_an_argument(private_path: Path) -> None:
    """
    `gateway start --join STRING`: the string is in the arguments of this process, which warns of
    it, and nowhere else; with --join-file it is in none.
    """
    with Product(private_path) as product:
        product.start_server()
        ann = product.set_up()
        assert product.gateway_join is not None
        text = product.gateway_join.read_text().strip()
        home = product.user("gateway").home
        child = product.family.start(
            "gateway", ["gateway", "start", "--log-to-stdout", "--join", text], home
        )
        child.wait_for_line(r"^gateway \S+ online")
        scanner = Scanner({"join string": text.encode()})
        found = Planted(product, ann, scanner, private_path / "no", product.gateway_join)

        assert {f.where for f in found.scan_arguments()} == {f"cmdline of {child.pid}"}
        assert found.scan_server_files() == []
        assert scanner.scan_tree(home.commander) == []
        assert scanner.scan_bytes(child.output.encode()) == []
        assert "other users of this machine can read the join string" in child.output


def test_exception_two_the_configuration_in_the_environment(private_path: Path) -> None:
    """`GATEWAY_CONFIG`: the configuration is in the environment of this process and nowhere else."""
    with Product(private_path) as product:
        product.start_server()
        ann = product.set_up()
        product.start_gateway().stop()
        stored = private_path / "gateway" / ".commander" / "gateway-config.json"
        text = stored.read_text()
        home = product.user("other").home
        child = product.family.start(
            "other", ["gateway", "start", "--log-to-stdout"], home,
            environment={"GATEWAY_CONFIG": text},
        )  # fmt: skip
        child.wait_for_line(r"^gateway \S+ online")
        key = re.search(r'"privateKey":\s*"([^"]+)"', text)
        assert key is not None
        scanner = Scanner({"private key": key[1].encode()})
        found = Planted(product, ann, scanner, private_path / "no", stored)

        assert {f.where for f in found.scan_arguments()} == {f"environ of {child.pid}"}
        assert found.scan_server_files() == []
        assert scanner.scan_tree(home.commander) == []
        assert scanner.scan_bytes(child.output.encode()) == []
