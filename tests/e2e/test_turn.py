"""Tunnels through a TURN relay, between two machines behind NATs that drop UDP."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.nat_lab import PUBLIC_OF_LEFT, NatLab
from tests.support.processes import Child, Home
from tests.support.product import Product, User
from tests.support.servers.http import HttpServer, body

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

RELAY_READY = r"IO method \(admin thread\)"
PORTS = ("--port", "3478", "--tls-port", "5349")


@dataclass
class Site:
    """The hosts, the product on them, and the relay as an owner starts it."""

    lab: NatLab
    product: Product
    relay_command: list[str]
    relay: Child
    user: User
    http: HttpServer

    def restart_relay(self) -> None:
        """End coturn, whose relays are gone with it, and start it again."""
        self.relay.stop()
        self.relay = self.lab["public"].start(*self.relay_command)
        self.relay.wait_for_line(RELAY_READY)

    def download(self, port: int, target: Path, size: int) -> str:
        """Download with curl on the client; what it complained of."""
        url = f"http://127.0.0.1:{port}/bytes/{size}"
        command = ("curl", "-sS", "--noproxy", "*", "--max-time", "100", "-o", target, url)
        return self.lab["left"].run(*command, check=False, deadline_s=120).stderr


def relay_words(product: Product, directory: Path) -> tuple[list[str], list[str]]:
    """What `commander-server relay-config` says: how the relay is started, and the server."""
    done = product.family.run(
        ["commander-server", "relay-config", "--data", product.data,
         "--public-name", PUBLIC_OF_LEFT, "--relay-address", PUBLIC_OF_LEFT, *PORTS],
        Home(directory),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    command = done.stdout.partition("start the relay:")[2].splitlines()[0].split()
    told = done.stdout.partition("commander-server start …")[2]
    return command, told.replace("\\\n", " ").replace("'", "").split()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("site")
    with (
        NatLab("noudp") as lab,
        Product(directory) as product,
        HttpServer(prefix=lab["right"].prefix) as http,
    ):
        command, words = relay_words(product, directory / "owner")
        relay = lab["public"].start(*command)
        relay.wait_for_line(RELAY_READY)
        product.start_server(*words, host=lab["public"])
        user = product.set_up(host=lab["left"])
        product.start_gateway(host=lab["right"])
        user.configure_network()
        user.add_target("Wiki", f"127.0.0.1:{http.port}")
        yield Site(lab, product, command, relay, user, http)


@pytest.mark.parametrize("path", ["webrtc", "turn"])
def test_curl_through_the_relay(site: Site, path: str, tmp_path: Path) -> None:
    """curl downloads 300 kB from behind a NAT that drops UDP, through a relay over TCP or TLS"""
    tunnel, port = site.user.start_tunnel("Wiki", "--path", path)
    target = tmp_path / "got"

    complaint = site.download(port, target, 300_000)

    assert target.read_bytes() == body(300_000), complaint
    assert [row["path"] for row in site.user.json("pam", "tunnel", "list")] == [path]
    tunnel.interrupt()
    assert tunnel.wait() == 130


def test_a_connection_survives_the_relays_restart(site: Site) -> None:
    """A slow download goes on where it was after coturn was ended and started: no line lost or doubled"""
    tunnel, port = site.user.start_tunnel("Wiki", "--path", "turn")
    url = f"http://127.0.0.1:{port}/slow/150"
    curl = site.lab["left"].start("curl", "-sSN", "--noproxy", "*", "--max-time", "100", url)
    curl.wait_for_line("line 20")

    site.restart_relay()

    assert curl.wait(deadline_s=110) == 0, curl.output
    assert curl.lines == [f"line {number}" for number in range(150)]
    tunnel.interrupt()
    assert tunnel.wait() == 130
