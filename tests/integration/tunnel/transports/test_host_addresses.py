from __future__ import annotations

import sys
from ipaddress import ip_address

import pytest

from commander.tunnel.addresses import special_kind
from commander.tunnel.transports.host_addresses import host_identity, own_addresses
from tests.support.namespaces import Lab

pytestmark = pytest.mark.integration
TELL = """
from commander.tunnel.transports.host_addresses import host_identity, own_addresses
print(host_identity().decode())
print(*own_addresses())
"""


def test_identity_is_the_same_for_two_processes_of_a_host_and_no_other() -> None:
    """Loopback of one namespace is not that of another, on the same kernel."""
    with Lab("one", "two") as lab:
        lab["one"].run("ip", "addr", "add", "fd00:1::1/64", "dev", "eth0", "nodad")
        told = [
            lab[name].run(sys.executable, "-c", TELL).stdout.splitlines()
            for name in ("one", "one", "two")
        ]
        addresses = [lab[name].address for name in ("one", "two")]
    assert told[0][0] == told[1][0] != told[2][0]
    assert told[0][0] != host_identity().decode()
    assert set(told[0][1].split()) == {addresses[0], "fd00:1::1"}
    assert told[2][1].split() == [addresses[1]]


def test_own_addresses_can_be_reached_by_others() -> None:
    """No loopback, no link-local, none twice."""
    found = own_addresses()
    assert len(set(found)) == len(found)
    assert not any(special_kind(ip_address(address)) for address in found)
