"""
Journey 2 on three hosts: server, a user's machine, and a network nobody can connect into.

The targets listen on the loopback of the gateway's host, so only the gateway can reach them.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.namespaces import Host, Lab
from tests.support.processes import Child
from tests.support.product import Product, User
from tests.support.servers.http import HttpServer, body
from tests.support.servers.postgres import Postgres
from tests.support.servers.sshd import Sshd

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


@dataclass(frozen=True)
class Machines:
    """The hosts, the user at the client's, and what runs behind the gateway."""

    client: Host
    user: User
    postgres: Postgres
    sshd: Sshd
    http: HttpServer


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    with (
        Lab("server", "client", "gateway") as lab,
        Product(tmp_path_factory.mktemp("product")) as product,
        Postgres(prefix=lab["gateway"].prefix) as postgres,
        Sshd(prefix=lab["gateway"].prefix) as sshd,
        HttpServer(prefix=lab["gateway"].prefix) as http,
    ):
        lab["gateway"].drop_inbound()
        product.start_server(host=lab["server"])
        user = product.set_up(host=lab["client"])
        product.start_gateway(host=lab["gateway"])
        user.configure_network()
        user.add_target("Orders DB", f"127.0.0.1:{postgres.port}", "pamDatabase")
        user.add_target("Build host", f"127.0.0.1:{sshd.port}")
        user.add_target("Wiki", f"127.0.0.1:{http.port}")
        yield Machines(lab["client"], user, postgres, sshd, http)


@pytest.fixture
def database_port(machines: Machines) -> Iterator[int]:
    tunnel, port = machines.user.start_tunnel("Orders DB")
    yield port
    end(tunnel)


@pytest.fixture
def machine_port(machines: Machines) -> Iterator[int]:
    tunnel, port = machines.user.start_tunnel("Build host")
    yield port
    end(tunnel)


@pytest.fixture
def web_port(machines: Machines) -> Iterator[int]:
    tunnel, port = machines.user.start_tunnel("Wiki")
    yield port
    end(tunnel)


def end(tunnel: Child) -> None:
    tunnel.interrupt()
    tunnel.wait()


def on_client(
    machines: Machines, *command: str | Path, port: int = 0
) -> subprocess.CompletedProcess[str]:
    """Run a client program on the user's machine, pointed at a port of its loopback."""
    environment = machines.user.home.environment(**machines.postgres.environment(port=port))
    return machines.client.run(*command, environment=environment, check=False, deadline_s=120)


def test_targets_are_out_of_reach_without_a_tunnel(machines: Machines) -> None:
    """The control: the user's machine has nothing on the target's port."""
    done = on_client(machines, "psql", "-XAtc", "select 1", port=machines.postgres.port)

    assert done.returncode == 2
    assert "refused" in done.stderr


def test_psql_through_the_tunnel(machines: Machines, database_port: int) -> None:
    """psql on one machine queries PostgreSQL behind the other's gateway."""
    done = on_client(machines, "psql", "-XAtc", "select version()", port=database_port)

    assert done.stdout.startswith("PostgreSQL"), done.stderr


def test_pgbench_through_the_tunnel(machines: Machines, database_port: int) -> None:
    """pgbench with eight connections at once loses no transaction."""
    first = on_client(machines, "pgbench", "-i", "-q", "-s", "1", port=database_port)
    done = on_client(machines, "pgbench", "-n", "-c", "8", "-t", "25", port=database_port)

    assert first.returncode == 0, first.stderr
    assert "number of transactions actually processed: 200/200" in done.stdout, done.stderr


def test_ssh_and_scp_through_the_tunnel(
    machines: Machines, machine_port: int, tmp_path: Path
) -> None:
    """ssh passes output and exit status on; scp carries 20 MB unharmed."""
    sshd = machines.sshd
    source, target = tmp_path / "from", tmp_path / "to"
    source.write_bytes(body(20_000_000))
    options = sshd.client_options()
    address = f"{sshd.user}@127.0.0.1"

    port = str(machine_port)
    shell = on_client(machines, "ssh", *options, "-p", port, address, "echo hello; exit 3")
    copy = on_client(machines, "scp", *options, "-P", port, source, f"{address}:{target}")

    assert (shell.stdout, shell.returncode) == ("hello\n", 3), shell.stderr
    assert copy.returncode == 0, copy.stderr
    assert target.read_bytes() == source.read_bytes()


def test_curl_through_the_tunnel(machines: Machines, web_port: int, tmp_path: Path) -> None:
    """curl downloads 20 MB over a tunnel, the same bytes."""
    target = tmp_path / "got"
    url = f"http://127.0.0.1:{web_port}/bytes/20000000"

    done = on_client(machines, "curl", "-sS", "--max-time", "100", "-o", target, url)

    assert done.returncode == 0, done.stderr
    assert target.read_bytes() == body(20_000_000)


def test_several_tunnels_at_once(
    machines: Machines, database_port: int, machine_port: int, web_port: int
) -> None:
    """Three tunnels of three processes are listed together and all work."""
    listed = {row["record"] for row in machines.user.json("pam", "tunnel", "list")}
    hello = on_client(machines, "curl", "-sS", f"http://127.0.0.1:{web_port}/hello")
    answer = on_client(machines, "psql", "-XAtc", "select 6*7", port=database_port)

    assert listed == {"Orders DB", "Build host", "Wiki"}
    assert hello.stdout == "hello"
    assert answer.stdout == "42\n"
    assert machine_port not in (database_port, web_port)
