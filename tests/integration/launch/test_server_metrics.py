"""Metrics, health and status of the real programs while a tunnel is used and things break."""

from __future__ import annotations

import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from commander.launch.server_metrics import ServerReadiness
from commander.metrics import gateway as gateway_table
from commander.metrics import server as server_table
from commander.metrics.definitions import Metric
from tests.support.backend_server import running
from tests.support.processes import Child, Home
from tests.support.product import Product, User
from tests.support.servers.http import HttpServer
from tests.support.waiting import until

pytestmark = pytest.mark.integration
LOCAL = ("--metrics-listen", "127.0.0.1:0")


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Product, User]]:
    """Server and gateway with their endpoints."""
    with Product(tmp_path_factory.mktemp("metrics")) as found:
        found.start_server(*LOCAL)
        ann = found.set_up()
        found.start_gateway("gateway", *LOCAL)
        yield found, ann


def page(child: Child, path: str) -> tuple[int, str]:
    """What a program's endpoint answers."""
    url = child.wait_for_line(r"metrics on (http://\S+)/metrics")[1]
    try:
        with urllib.request.urlopen(url + path, timeout=30) as answer:
            return int(answer.status), answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def scrape(child: Child) -> dict[str, float]:
    """All samples by name and label values."""
    status, text = page(child, "/metrics")
    assert status == 200
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def check_names(child: Child, table: tuple[Metric, ...]) -> None:
    """Compare a program's page with its table: every metric is there and none besides."""
    families = {
        family.name: family
        for family in text_string_to_metric_families(page(child, "/metrics")[1])
        if family.name.startswith("commander_")
    }
    assert families.keys() == {metric.name.removesuffix("_total") for metric in table}
    for metric in table:
        assert families[metric.name.removesuffix("_total")].documentation == metric.help


def test_what_a_tunnel_does_shows_in_the_metrics_of_both(product: tuple[Product, User]) -> None:
    """Connections, relay and tunnel are counted while it is used, and its end by its code."""
    found, ann = product
    server, gateway = found.server, found.gateways["gateway"]
    assert server is not None
    with HttpServer() as http:
        ann.configure_network()
        ann.add_target("Wiki", f"127.0.0.1:{http.port}")
        child, port = ann.start_tunnel("Wiki", "--path", "relay")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/hello", timeout=30) as answer:
            body = answer.read()

        open_now, relayed = scrape(gateway), scrape(server)
        child.interrupt()
        child.wait()
        ended = until(
            lambda: (
                scrape(gateway)
                if scrape(gateway).get("commander_gateway_tunnels_ended_total stopped")
                else None
            ),
            "the tunnel's end in the metrics",
        )

    assert open_now["commander_gateway_connected"] == 1.0
    assert open_now["commander_gateway_tunnels open"] == 1.0
    assert open_now["commander_gateway_tunnel_paths relay"] == 1.0
    assert open_now["commander_gateway_streams_total"] >= 1.0
    assert open_now["commander_gateway_bytes_total from_target"] >= len(body)
    assert relayed["commander_router_connections gateway"] == 1.0
    assert relayed["commander_router_messages_delivered_total"] >= 2.0
    assert relayed["commander_api_answers_total ok"] > 1.0
    assert ended["commander_gateway_tunnels open"] == 0.0
    # What an ended tunnel carried stays counted.
    assert (
        ended["commander_gateway_bytes_total from_target"]
        >= open_now["commander_gateway_bytes_total from_target"]
    )
    check_names(server, server_table.METRICS)
    check_names(gateway, gateway_table.METRICS)


def test_no_page_names_who_uses_what(product: tuple[Product, User]) -> None:
    """Neither uids nor titles nor the user's address are on any page."""
    found, ann = product
    gateway = ann.json("pam", "gateway", "list")[0]
    uids = [str(value) for value in gateway.values() if len(str(value)) == 22]
    assert uids
    assert found.server is not None

    for child in (found.server, found.gateways["gateway"]):
        text = "".join(page(child, path)[1] for path in ("/metrics", "/readyz", "/healthz"))

        for secret in (ann.email, "Wiki", *uids):
            assert secret not in text


def test_status_tells_what_is_asked_first(product: tuple[Product, User]) -> None:
    """Version, since when, who is connected, and the last problem, of both programs."""
    found, _ = product
    home = found.family.run(
        ["commander-server", "status", "--data", found.data, "--format", "json"],
        found.user("status@example.org").home,
    )
    told = json.loads(home.stdout)
    gateway = _gateway_status(found)

    assert home.returncode == 0
    assert told["status"] == "ok"
    assert told["gateways_online"] in (0, 1)  # written every ten seconds
    assert told["version"]
    assert told["since"]
    assert "last_problem" in told
    assert gateway["state"] == "online"
    assert gateway["up_since"]
    assert gateway["version"]
    assert "audit_waiting" in gateway


def _gateway_status(found: Product) -> dict[str, object]:
    done: subprocess.CompletedProcess[str] = found.family.run(
        ["gateway", "status", "--format", "json"], Home(found.directory / "gateway")
    )
    told: dict[str, object] = json.loads(done.stdout)
    return told


def test_readiness_follows_the_connection(product: tuple[Product, User]) -> None:
    """A gateway without its server is alive and not ready, and ready again once it is back."""
    found, _ = product
    assert found.server is not None
    gateway = found.gateways["gateway"]
    assert page(found.server, "/readyz") == (200, "ready\n")
    until(lambda: page(gateway, "/readyz")[0] == 200, "the gateway ready")

    found.server.kill()
    until(lambda: page(gateway, "/readyz")[0] == 503, "the gateway not ready")
    assert "not connected to the server" in page(gateway, "/readyz")[1]
    assert page(gateway, "/healthz") == (200, "ok\n")
    found.start_server(*LOCAL)

    until(lambda: page(gateway, "/readyz")[0] == 200, "the gateway ready again")


async def test_a_store_that_takes_no_writes_is_told(tmp_path: Path) -> None:
    """The page beside the store and the store itself are tried; an answer is kept for a moment."""
    tmp_path.chmod(0o700)
    async with running(tmp_path) as server:
        ready = ServerReadiness(server.core, tmp_path)
        gone = ServerReadiness(server.core, tmp_path / "gone")

        assert await ready() == []
        assert await gone() == ["the store cannot be written: No such file or directory"]
        (tmp_path / "gone").mkdir()
        assert await gone() != []
        server.clock.advance(3)
        assert await gone() == []
        assert not list(tmp_path.glob(".writable"))
