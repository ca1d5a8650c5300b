"""Networks that go silent: no packet tells anybody that the other side is gone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.support.namespaces import Host, Lab
from tests.support.product import Product, User
from tests.support.servers.http import HttpServer
from tests.support.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

NOTICE_S = 25.0  # ten seconds, and slack for a busy machine


@dataclass(frozen=True)
class Machines:
    """Three hosts and what runs on them."""

    lab: Lab
    product: Product
    user: User


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    with (
        Lab("server", "client", "gateway") as lab,
        Product(tmp_path_factory.mktemp("silence")) as product,
        HttpServer(prefix=lab["gateway"].prefix) as http,
    ):
        product.start_server(host=lab["server"])
        user = product.set_up(host=lab["client"])
        product.start_gateway(host=lab["gateway"])
        user.configure_network()
        user.add_target("Wiki", f"127.0.0.1:{http.port}")
        yield Machines(lab, product, user)


def fetch(client: Host, port: int) -> str:
    return client.run("curl", "-sS", "--max-time", "20", f"http://127.0.0.1:{port}/hello").stdout


def online(machines: Machines) -> bool:
    return bool(machines.user.json("pam", "gateway", "list", "--online"))


def check_new_tunnel(machines: Machines) -> None:
    child, port = machines.user.start_tunnel("Wiki")
    assert fetch(machines.lab["client"], port) == "hello"
    child.interrupt()
    assert child.wait() == 130


def test_a_gateway_that_went_silent_is_waited_for(machines: Machines) -> None:
    """Its cable pulled: the tunnel waits, the server lists it offline, and both come back."""
    child, port = machines.user.start_tunnel("Wiki")
    assert fetch(machines.lab["client"], port) == "hello"

    machines.lab["gateway"].unplug()
    child.wait_for_line("is interrupted", deadline_s=NOTICE_S)
    until(lambda: not online(machines), "the gateway is offline", deadline_s=30 + NOTICE_S)
    machines.lab["gateway"].plug_in()
    until(lambda: online(machines), "the gateway is back", deadline_s=30 + NOTICE_S)
    child.wait_for_line("is back after", deadline_s=30 + NOTICE_S)

    assert fetch(machines.lab["client"], port) == "hello"
    child.interrupt()
    assert child.wait() == 130


def test_a_client_that_went_silent_says_so_and_comes_back(machines: Machines) -> None:
    """Its own cable pulled: the tunnel waits, and commands end with 6 instead of hanging."""
    child, port = machines.user.start_tunnel("Wiki")

    machines.lab["client"].unplug()
    child.wait_for_line("is interrupted", deadline_s=NOTICE_S)
    refused = machines.user.run("sync-down", deadline_s=90)
    machines.lab["client"].plug_in()
    child.wait_for_line("is back after", deadline_s=30 + NOTICE_S)

    assert refused.returncode == 6, refused.stderr
    assert fetch(machines.lab["client"], port) == "hello"
    child.interrupt()
    assert child.wait() == 130
    check_new_tunnel(machines)
