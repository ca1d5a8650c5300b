"""Direct paths between machines: who connects to whom, and what happens where nobody can."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.namespaces import Lab
from tests.support.product import Product, User
from tests.support.servers.http import HttpServer, body
from tests.support.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]
SIZE = 8_000_000
IPV6 = {"client": "fd00:203::2", "gateway": "fd00:203::3"}


@dataclass(frozen=True)
class Machines:
    """Three hosts, the user at the client's, and a target behind the gateway."""

    lab: Lab
    product: Product
    user: User

    def restart_gateway(self, *words: str) -> None:
        """Start the gateway again with other options."""
        self.product.gateways["gateway"].stop()
        self.product.start_gateway("gateway", *words, host=self.lab["gateway"])

    def path(self) -> str:
        """What carries the open tunnel now."""
        rows = self.user.json("pam", "tunnel", "list")
        return ",".join(row["path"] for row in rows)

    def download(self, port: int, target: Path) -> None:
        """Download with curl on the client, and compare."""
        url = f"http://127.0.0.1:{port}/bytes/{SIZE}"
        command = ("curl", "-sS", "--noproxy", "*", "--max-time", "100", "-o", target, url)
        complaint = self.lab["client"].run(*command, check=False, deadline_s=120).stderr
        assert digest(target.read_bytes()) == digest(body(SIZE)), complaint

    def connections(self, host: str, peer: str) -> int:
        """Established TCP connections of a host with an address."""
        peer = f"[{peer}]" if ":" in peer else peer
        listing = self.lab[host].run("ss", "-Htn", "state", "established", "dst", peer).stdout
        return len(listing.splitlines())


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    with (
        Lab("server", "client", "gateway") as lab,
        Product(tmp_path_factory.mktemp("product")) as product,
        HttpServer(prefix=lab["gateway"].prefix) as http,
    ):
        for name, address in IPV6.items():
            lab[name].run("ip", "addr", "add", f"{address}/64", "dev", "eth0", "nodad")
        product.start_server(host=lab["server"])
        user = product.set_up(host=lab["client"])
        product.start_gateway(host=lab["gateway"])
        user.configure_network()
        user.add_target("Wiki", f"127.0.0.1:{http.port}")
        yield Machines(lab, product, user)


@pytest.fixture
def closed_client(machines: Machines) -> Iterator[None]:
    """A client to which nobody can connect."""
    machines.lab["client"].drop_inbound()
    yield
    machines.lab["client"].accept_inbound()


def test_the_gateway_connects_to_the_client(machines: Machines, tmp_path: Path) -> None:
    """--path direct: four connections from gateway to client, none through the server, 8 MB unharmed"""
    tunnel, port = machines.user.start_tunnel("Wiki", "--path", "direct")

    machines.download(port, tmp_path / "got")

    assert machines.path() == "direct"
    client = machines.lab["client"].address
    assert machines.connections("gateway", client) == 4
    tunnel.interrupt()
    tunnel.wait()
    until(lambda: machines.connections("gateway", client) == 0, "no connection is left")


def test_a_tunnel_moves_to_the_direct_path_by_itself(machines: Machines, tmp_path: Path) -> None:
    """--path auto: direct where it can be, without being asked for"""
    tunnel, port = machines.user.start_tunnel("Wiki")
    until(lambda: machines.path() == "direct", "the direct path carries it")

    machines.download(port, tmp_path / "got")

    tunnel.interrupt()
    tunnel.wait()


@pytest.mark.usefixtures("closed_client")
def test_a_client_that_nobody_can_reach_stays_on_the_relay(
    machines: Machines, tmp_path: Path
) -> None:
    """The relay carries what no direct path can; --path direct says what would have to be open"""
    tunnel, port = machines.user.start_tunnel("Wiki")

    machines.download(port, tmp_path / "got")

    assert machines.path() == "relay"
    tunnel.interrupt()
    tunnel.wait()
    words = ("pam", "tunnel", "start", "Wiki", "--path", "direct", "--run", "true")
    refused = machines.user.run(*words)
    assert refused.returncode == 6
    assert "no direct connection came up" in refused.stderr
    assert "--direct-listen" in refused.stderr


def test_direct_over_ipv6(machines: Machines, tmp_path: Path) -> None:
    """Where IPv4 is blocked between the two machines, IPv6 carries it"""
    client, gateway = machines.lab["client"], machines.lab["gateway"]
    gateway.run("ip", "route", "add", "blackhole", client.address)
    try:
        tunnel, port = machines.user.start_tunnel("Wiki", "--path", "direct")
        machines.download(port, tmp_path / "got")
        assert machines.connections("gateway", IPV6["client"]) == 4
        tunnel.interrupt()
        tunnel.wait()
    finally:
        gateway.run("ip", "route", "del", "blackhole", client.address)


@pytest.mark.usefixtures("closed_client")
def test_a_gateway_with_a_port_of_its_own(machines: Machines, tmp_path: Path) -> None:
    """--direct-listen: the client connects there, so that it needs no open port itself"""
    gateway = machines.lab["gateway"]
    machines.restart_gateway("--direct-listen", f"{gateway.address}:8444")
    try:
        tunnel, port = machines.user.start_tunnel("Wiki", "--path", "direct")
        machines.download(port, tmp_path / "got")
        assert machines.path() == "direct"
        assert machines.connections("client", gateway.address) == 4
        tunnel.interrupt()
        tunnel.wait()
    finally:
        machines.restart_gateway()


def test_an_owner_may_forbid_direct_paths(machines: Machines) -> None:
    """--no-direct: the refusal is the gateway's and has its code; the control is the first scenario"""
    machines.restart_gateway("--no-direct")
    try:
        words = ("pam", "tunnel", "start", "Wiki", "--path", "direct", "--run", "true")
        refused = machines.user.run(*words)
        assert refused.returncode == 4
        assert "this gateway does not open such paths" in refused.stderr
    finally:
        machines.restart_gateway()
