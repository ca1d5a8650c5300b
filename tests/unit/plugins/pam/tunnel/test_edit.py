from __future__ import annotations

import pytest

from commander.errors import Conflict, InvalidInput, NotFound
from commander.wire.pam import PortPair
from plugins.pam.tunnel.edit import change_ports

HTTP = PortPair(8080)
ADMIN = PortPair(9090, 19090)


def test_pairs_are_added_and_removed() -> None:
    """By LOCAL:REMOTE, auto:REMOTE or REMOTE; the same again changes nothing."""
    both = change_ports((), ["auto:8080", "19090:9090"], [])

    assert both == (HTTP, ADMIN)
    assert change_ports(both, ["8080", "19090:9090"], []) == both
    assert change_ports(both, [], ["8080"]) == (ADMIN,)
    assert change_ports(both, [], ["19090:9090"]) == (HTTP,)
    assert change_ports(both, ["8443:8080"], ["8080"]) == (ADMIN, PortPair(8080, 8443))


def test_a_pair_is_not_edited_by_adding_it_otherwise() -> None:
    """It says which local port it has, and to remove it first."""
    with pytest.raises(Conflict, match="port 9090 has local port 19090"):
        change_ports((ADMIN,), ["1:9090"], [])
    with pytest.raises(NotFound):
        change_ports((ADMIN,), [], ["1:9090"])
    with pytest.raises(NotFound):
        change_ports((), [], ["9090"])


@pytest.mark.parametrize("text", ["", ":", "x", "0", "1:0", "65536", "a:1", "1:2:3"])
def test_what_is_no_pair(text: str) -> None:
    """Ports are 1 to 65535."""
    with pytest.raises(InvalidInput):
        change_ports((), [text], [])


def test_there_are_not_more_than_sixteen() -> None:
    """The bound of the settings, told before they are written."""
    with pytest.raises(InvalidInput, match="16"):
        change_ports((), [str(port) for port in range(1, 18)], [])
