"""Where only an HTTP proxy leads out: client and gateway reach the server through it alone."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.namespaces import Host, Lab
from tests.support.processes import Child
from tests.support.product import Product, User
from tests.support.servers.http import HttpServer

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

ROOT = Path(__file__).resolve().parents[2]
_ONLY_FROM = """
table inet only {
  chain inbound {
    type filter hook input priority 0; policy drop;
    iifname lo accept
    ip saddr %s accept
    reject with tcp reset
  }
}
"""


@dataclass(frozen=True)
class Machines:
    """The user at the client's host, and the proxy that is the only way to the server."""

    client: Host
    user: User
    product: Product
    proxy: Child


def only_from(host: Host, peer: Host, file: Path) -> None:
    """From now on a host hears nobody but one other."""
    file.write_text(_ONLY_FROM % peer.address)
    host.run("nft", "-f", file)


def start_proxy(host: Host) -> tuple[Child, str]:
    """The proxy on a host; its process and its URL."""
    proxy = host.start(
        sys.executable, "-m", "tests.e2e.proxy_program", host.address,
        environment={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    port = proxy.wait_for_line(r"listening on port (\d+)")[1]
    return proxy, f"http://{host.address}:{port}"


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    directory = tmp_path_factory.mktemp("product")
    with (
        Lab("server", "proxy", "client", "gateway") as lab,
        Product(directory) as product,
        HttpServer(prefix=lab["gateway"].prefix) as http,
    ):
        product.start_server(host=lab["server"])
        only_from(lab["server"], lab["proxy"], directory / "rules.nft")
        lab["gateway"].drop_inbound()
        proxy, url = start_proxy(lab["proxy"])
        product.family.variables["HTTPS_PROXY"] = url
        user = product.set_up(host=lab["client"])
        product.start_gateway(host=lab["gateway"])
        user.configure_network()
        user.add_target("Wiki", f"127.0.0.1:{http.port}")
        yield Machines(lab["client"], user, product, proxy)


def test_without_the_proxy_the_server_is_out_of_reach(machines: Machines) -> None:
    """The control: without HTTPS_PROXY the same command finds no server, and says so with 6."""
    done = machines.user.run("sync-down", environment={"HTTPS_PROXY": ""}, deadline_s=120)

    assert done.returncode == 6, done.stderr


def test_a_tunnel_through_the_proxy(machines: Machines) -> None:
    """Set-up, enrolment, commands and a tunnel with curl in it, all through the proxy."""
    # The two hosts could reach each other, and would: a direct path needs no proxy.
    tunnel, port = machines.user.start_tunnel("Wiki", "--path", "relay")

    url = f"http://127.0.0.1:{port}/hello"
    done = machines.client.run("curl", "-sS", "--noproxy", "*", "--max-time", "30", url)

    assert done.stdout == "hello"
    assert {row["path"] for row in machines.user.json("pam", "tunnel", "list")} == {"relay"}
    reached = {line.split()[-1] for line in machines.proxy.lines if "connected to" in line}
    assert reached == {machines.product.address}
    tunnel.interrupt()
    tunnel.wait()
