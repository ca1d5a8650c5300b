from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from commander.backend.relay_config import RelayPlan, write_config
from commander.errors import InvalidInput
from commander.secret import Secret


def plan(**values: Any) -> RelayPlan:
    given: dict[str, Any] = {
        "realm": "relay.example.org",
        "relay_address": "203.0.113.7",
        "secret": Secret("0123456789abcdef"),
        "certificate": Path("/relay/tls.pem"),
        "key": Path("/relay/tls.key"),
        "pid_file": Path("/relay/pid"),
    }
    return RelayPlan(**(given | values))


def lines(**values: Any) -> list[str]:
    return write_config(plan(**values)).splitlines()


def test_the_relay_is_closed() -> None:
    """Every address is denied, and only its own allowed: it is no way into any network."""
    found = lines()

    assert "denied-peer-ip=0.0.0.0-255.255.255.255" in found
    assert "denied-peer-ip=::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff" in found
    allowed = [line for line in found if line.startswith("allowed-peer-ip")]
    assert allowed == ["allowed-peer-ip=203.0.113.7"]
    assert {"no-multicast-peers", "no-tcp-relay", "no-cli"} <= set(found)
    assert "allow-loopback-peers" not in found


def test_only_credentials_of_the_server_are_taken() -> None:
    """No fixed users, no database, a quota for each credential and for all."""
    found = lines(max_relays=90)

    assert {"use-auth-secret", "static-auth-secret=0123456789abcdef"} <= set(found)
    assert {"user-quota=8", "total-quota=90", "stale-nonce=600"} <= set(found)
    assert not any(line.startswith(("user=", "no-auth", "lt-cred-mech")) for line in found)


def test_behind_a_providers_nat_both_addresses_are_told() -> None:
    """Peers name the public one; the machine has the other."""
    found = lines(local_address="10.0.0.5")

    assert {
        "listening-ip=10.0.0.5",
        "relay-ip=10.0.0.5",
        "external-ip=203.0.113.7/10.0.0.5",
    } <= set(found)
    allowed = [line for line in found if line.startswith("allowed-peer-ip")]
    assert allowed == ["allowed-peer-ip=203.0.113.7", "allowed-peer-ip=10.0.0.5"]


def test_loopback_is_for_one_machine_alone() -> None:
    """Only a relay that itself is on loopback may reach loopback: tests and the sandbox."""
    assert "allow-loopback-peers" in lines(relay_address="127.0.0.1")


@pytest.mark.parametrize(
    "values",
    [
        {"relay_address": "relay.example.org"},
        {"relay_address": "0.0.0.0"},
        {"relay_address": "169.254.1.1"},
        {"relay_address": "2001:db8::7"},
        {"local_address": "nonsense"},
        {"first_port": 80},
        {"first_port": 50000, "last_port": 50000},
        {"last_port": 70000},
        {"port": 5349},
    ],
)
def test_a_plan_that_cannot_work_is_refused(values: dict[str, Any]) -> None:
    """With the value that is wrong."""
    with pytest.raises(InvalidInput):
        plan(**values)


def test_the_secret_is_not_shown() -> None:
    """Not even in a traceback of the plan."""
    assert "0123456789abcdef" not in repr(plan())
