"""Tunnels over WebRTC between two machines, where nobody can connect to the gateway's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.namespaces import Lab
from tests.support.product import Product, User
from tests.support.servers.http import HttpServer, body
from tests.support.servers.postgres import Postgres

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


@dataclass(frozen=True)
class Machines:
    """Three hosts, the user at the client's, and what runs behind the gateway."""

    lab: Lab
    user: User
    http: HttpServer
    postgres: Postgres

    def paths(self) -> list[str]:
        """What carries the open tunnels."""
        return [row["path"] for row in self.user.json("pam", "tunnel", "list")]

    def download(self, port: int, target: Path, size: int) -> str:
        """Download with curl on the client; what it complained of."""
        url = f"http://127.0.0.1:{port}/bytes/{size}"
        command = ("curl", "-sS", "--noproxy", "*", "--max-time", "100", "-o", target, url)
        return self.lab["client"].run(*command, check=False, deadline_s=120).stderr


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    with (
        Lab("server", "client", "gateway") as lab,
        Product(tmp_path_factory.mktemp("product")) as product,
        HttpServer(prefix=lab["gateway"].prefix) as http,
        Postgres(prefix=lab["gateway"].prefix) as postgres,
    ):
        lab["gateway"].drop_inbound()
        product.start_server(host=lab["server"])
        user = product.set_up(host=lab["client"])
        product.start_gateway(host=lab["gateway"])
        user.configure_network()
        user.add_target("Wiki", f"127.0.0.1:{http.port}")
        user.add_target("Orders DB", f"127.0.0.1:{postgres.port}", "pamDatabase")
        yield Machines(lab, user, http, postgres)


@pytest.mark.parametrize("path", ["webrtc", "relay"])
def test_curl_over_the_path_asked_for(machines: Machines, path: str, tmp_path: Path) -> None:
    """curl downloads 4 MB unharmed over the path that was asked for, and the list names it"""
    tunnel, port = machines.user.start_tunnel("Wiki", "--path", path)
    target = tmp_path / "got"

    complaint = machines.download(port, target, 4_000_000)

    assert target.read_bytes() == body(4_000_000), complaint
    assert machines.paths() == [path]
    tunnel.interrupt()
    assert tunnel.wait() == 130


def test_psql_over_webrtc(machines: Machines) -> None:
    """psql queries PostgreSQL over WebRTC, though no packet from outside reaches the gateway unasked."""
    tunnel, port = machines.user.start_tunnel("Orders DB", "--path", "webrtc")
    environment = machines.user.home.environment(**machines.postgres.environment(port=port))

    done = machines.lab["client"].run(
        "psql", "-XAtc", "select count(*) from generate_series(1, 100000)",
        environment=environment, check=False,
    )  # fmt: skip

    assert done.stdout == "100000\n", done.stderr
    assert machines.paths() == ["webrtc"]
    tunnel.interrupt()
    tunnel.wait()


def test_a_lost_webrtc_path_comes_back(machines: Machines, tmp_path: Path) -> None:
    """While the gateway's network is gone the tunnel waits; once it is back, so is the path."""
    tunnel, port = machines.user.start_tunnel("Wiki", "--path", "webrtc")
    gateway = machines.lab["gateway"]
    gateway.unplug()
    try:
        tunnel.wait_for_line("is interrupted", deadline_s=90)
    finally:
        gateway.plug_in()

    tunnel.wait_for_line("is back after .* over webrtc", deadline_s=90)
    complaint = machines.download(port, tmp_path / "got", 1000)
    assert (tmp_path / "got").read_bytes() == body(1000), complaint
    tunnel.interrupt()
    tunnel.wait()
