"""`ulimit -n` at both ends: what fits is said, more is refused in time, and what is open goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.setting import TARGET, fetch
from tests.support.processes import Home, program
from tests.support.product import Product, User
from tests.support.servers.http import HttpServer

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

# 64 are kept; 12 for each tunnel.
ROOM_FOR_THREE = "110"


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Product, User]]:
    """A product whose gateway may open 110 files."""
    with Product(tmp_path_factory.mktemp("product")) as product, HttpServer() as http:
        product.start_server()
        ann = product.set_up()
        home = Home(product.directory / "gateway")
        assert product.gateway_join is not None
        words = program(["gateway", "start", "--log-to-stdout", "--allow-target", "127.0.0.0/8"])
        gateway = product.family.start(
            "gateway",
            ["prlimit", f"--nofile={ROOM_FOR_THREE}:{ROOM_FOR_THREE}", *words, "--join-file", product.gateway_join],
            home,
        )  # fmt: skip
        gateway.wait_for_line(r"^room for 3 tunnels, not \d+: .*ulimit -n\) is 110")
        gateway.wait_for_line(r"^gateway \S+ online")
        ann.configure_network()
        ann.add_target(TARGET, f"127.0.0.1:{http.port}")
        yield product, ann


def write_set(ann: User, count: int) -> Path:
    """A file with so many tunnels to one record."""
    path = ann.home.work / "many.yaml"
    lines = [f"  t{n}: {TARGET}" for n in range(count)]
    path.write_text("\n".join(["version: 1", "tunnels:", *lines, ""]))
    return path


def test_a_client_opens_no_more_than_fit(product: tuple[Product, User]) -> None:
    """Four where three fit are refused before the first is opened, with the number to ask for."""
    world, ann = product
    words = program(["commander", "pam", "tunnel", "up", "-f", str(write_set(ann, 4))])
    done = world.family.run(["prlimit", "--nofile=110:110", *words, "--format", "json"], ann.home)

    assert done.returncode == 7, done.stderr
    assert {row["state"] for row in json.loads(done.stdout)} == {"failed"}
    assert "room for 3 more tunnels" in done.stderr
    assert "ulimit -n 112" in done.stderr


def test_a_gateway_opens_no_more_than_fit(product: tuple[Product, User]) -> None:
    """The fourth is refused with a code; the three before it go on."""
    _, ann = product
    opened = ann.json("pam", "tunnel", "up", "-f", write_set(ann, 3), "--background")
    fourth = ann.run("pam", "tunnel", "start", TARGET, "--new", "--format", "json")

    assert [row["state"] for row in opened] == ["open"] * 3
    assert fourth.returncode == 4, fourth.stderr
    error = json.loads(fourth.stderr.splitlines()[-1])["error"]
    assert error["code"] == "limit-reached"
    assert "3 tunnels open" in error["message"]
    for row in opened:
        assert fetch(int(row["local"].rpartition(":")[2])).stdout == "hello"
    ann("pam", "tunnel", "down", "-f", write_set(ann, 3))
