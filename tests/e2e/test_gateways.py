"""Gateways from their administrator's side: joined once, looked at, and removed."""

from __future__ import annotations

import json

import pytest

from tests.e2e.setting import TARGET, Setting, fetch
from tests.support.processes import Home
from tests.support.product import FOLDER
from tests.support.waiting import NeverHappened, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


def test_a_token_joins_one_gateway(setting: Setting) -> None:
    """A join string works once: the second machine is refused by its code, the first goes on."""
    join = setting.ann.home.work / "paris.join"
    setting.ann("pam", "gateway", "new", "-n", "Paris", "-a", FOLDER, "--join-file", join)
    paris = setting.product.start_gateway("paris", join=join)

    with pytest.raises(NeverHappened, match="token-used"):
        setting.product.start_gateway("thief", join=join)

    assert paris.is_running
    assert paris.stop() == 0


def test_gateway_status(setting: Setting) -> None:
    """`gateway status` on the gateway's machine and `pam gateway list` at the user's agree."""
    home = Home(setting.product.directory / "gateway")
    words = ["gateway", "status", "--format", "json"]

    done = setting.product.family.run(words, home)
    (row,) = [
        row
        for row in setting.ann.json("pam", "gateway", "list", "--online")
        if row["gateway_name"] == "Gateway"
    ]

    assert done.returncode == 0, done.stderr
    assert row["gateway_uid"] in json.dumps(json.loads(done.stdout))


def test_a_restarted_gateway_needs_no_token(setting: Setting) -> None:
    """Stopped in order it ends its tunnels; started again with its own keys it serves new ones."""
    tunnel, _ = setting.ann.start_tunnel(TARGET)
    assert setting.gateway.stop() == 0
    ended = tunnel.wait()

    setting.product.start_gateway()
    again, port = setting.ann.start_tunnel(TARGET)

    assert ended in (0, 6)
    assert "gateway" in tunnel.output
    assert fetch(port).stdout == "hello"
    again.interrupt()
    again.wait()


def test_a_removed_gateway(setting: Setting) -> None:
    """Removing a gateway ends its process with 4 for good, and it is listed no more."""
    join = setting.ann.home.work / "rome.join"
    setting.ann("pam", "gateway", "new", "-n", "Rome", "-a", FOLDER, "--join-file", join)
    rome = setting.product.start_gateway("rome", join=join)

    setting.ann("pam", "gateway", "remove", "-g", "Rome", "-f")

    assert rome.wait() == 4
    assert "was removed" in rome.output
    until(
        lambda: "Rome" not in setting.ann("pam", "gateway", "list"),
        "no such gateway",
    )
