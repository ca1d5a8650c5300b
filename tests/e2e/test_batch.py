"""An administrator's network as one file of commands, and what batches do on the way."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.setting import fetch, invite
from tests.support.processes import Home
from tests.support.product import Product, User
from tests.support.servers.http import HttpServer

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

FILE = Path(__file__).parent / "files" / "network.commands"
DEVELOPER = "dev@example.org"


@dataclass(frozen=True)
class Network:
    """An empty server with an administrator and a developer, and the file's variables."""

    product: Product
    ann: User
    developer: User
    variables: dict[str, str]

    def run(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        """`commander run FILE` as administrator."""
        return self.ann.run("run", FILE, *words, environment=self.variables)

    def position(self) -> int:
        """Where the authority log ends."""
        return int(self.ann.json("whoami")["log_position"])

    def contents(self) -> list[object]:
        """Records, folders, gateways and clients as an administrator sees them."""
        return [
            self.ann("tree"),
            [(row["gateway_name"], row["created_on"]) for row in self.gateways()],
            [
                (row["client_name"], row["client_id"], row["token_expires"])
                for row in self.ann.json("secrets-manager", "client", "list", "--app", "Production")
            ],
        ]

    def start_configured_gateway(self) -> None:
        """The gateway whose keys are in a file, as an administrator handed it over."""
        file = self.variables["GATEWAY_FILE"]
        gateway = self.product.family.start(
            "berlin",
            ["gateway", "start", "--log-to-stdout", "--allow-target", "127.0.0.0/8",
             "--config-file", file],
            Home(self.product.directory / "berlin"),
        )  # fmt: skip
        gateway.wait_for_line(r"^gateway \S+ online")

    def gateways(self) -> list[dict[str, str]]:
        """Rows of `pam gateway list`."""
        rows: list[dict[str, str]] = self.ann.json("pam", "gateway", "list")
        return rows


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    with Product(tmp_path_factory.mktemp("product")) as product, HttpServer() as http:
        product.start_server()
        ann = product.set_up()
        developer = invite(product, ann, DEVELOPER)
        variables = {
            "WIKI": f"127.0.0.1:{http.port}",
            "GATEWAY_FILE": str(ann.home.work / "berlin.json"),
            "JOIN_FILE": str(ann.home.work / "standby.join"),
        }
        yield Network(product, ann, developer, variables)


def test_dry_run_changes_nothing(network: Network) -> None:
    """A dry run of the whole file on an empty server finds no fault and changes nothing."""
    before = network.position(), network.ann("tree")

    done = network.run("--dry-run")

    assert done.returncode == 0, done.stderr
    assert (network.position(), network.ann("tree")) == before
    assert not Path(network.variables["JOIN_FILE"]).exists()


def test_a_file_builds_everything_once(network: Network) -> None:
    """One file builds it all on an empty server; run again each line says unchanged, and is right."""
    first = network.run()
    assert first.returncode == 0, first.stderr
    before = network.position(), network.contents()
    join = Path(network.variables["JOIN_FILE"]).read_text()

    again = network.run()

    assert again.returncode == 0, again.stderr
    *lines, last = again.stdout.splitlines()
    assert len(lines) == 16
    assert all(line.startswith("unchanged: ") for line in lines), again.stdout
    assert last == "network ready"
    assert (network.position(), network.contents()) == before
    assert Path(network.variables["JOIN_FILE"]).read_text() == join


def test_what_the_file_built_works(network: Network) -> None:
    """Both gateways of the file start, and the developer of the file uses a tunnel of the file."""
    network.run()
    network.start_configured_gateway()
    network.product.start_gateway("standby", join=Path(network.variables["JOIN_FILE"]))

    tunnel, port = network.developer.start_tunnel("Wiki")

    assert fetch(port).stdout == "hello"
    assert {row["status"] for row in network.gateways() if row["gateway_name"] != "Gateway"} == {
        "online"
    }
    assert "Wiki login" not in network.developer("list")
    tunnel.interrupt()
    tunnel.wait()


def test_the_first_error_ends_a_batch(network: Network) -> None:
    """A batch ends at its first error with that error's code, and names the line."""
    text = "# a comment\necho one\nget Nothing\necho two\n"

    done = network.ann.run("-", stdin=text)

    assert done.returncode == 3
    assert done.stdout == "one\n"
    assert "standard input line 3: no record 'Nothing'" in done.stderr


def test_lines_that_may_fail(network: Network) -> None:
    """`@` lets one line fail, --keep-going all of them, and then the batch still fails."""
    allowed = network.ann.run("-", stdin="@get Nothing\necho two\n")
    kept = network.ann.run("run", "--keep-going", "-", stdin="get Nothing\necho two\n")

    assert (allowed.returncode, allowed.stdout) == (0, "two\n")
    assert (kept.returncode, kept.stdout) == (3, "two\n")
    assert "1 of 2 lines failed" in kept.stderr


def test_what_differs_is_a_conflict(network: Network) -> None:
    """--if-missing with another value than what is there is exit 7, and changes nothing."""
    network.run()
    before = network.position()

    done = network.ann.run(
        "record-add", "-t", "Orders DB", "-rt", "pamDatabase", "--folder", "Production",
        "pamHostname=10.9.9.9:5432", "--if-missing",
    )  # fmt: skip

    assert done.returncode == 7
    assert network.position() == before
