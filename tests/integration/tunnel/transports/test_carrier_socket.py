from __future__ import annotations

import socket

import pytest

from commander.tunnel.transports.carrier_socket import UNSENT_BYTES, USER_TIMEOUT_MS, tune
from tests.support.direct import connected

pytestmark = pytest.mark.integration


def test_a_tuned_connection_has_what_a_carrier_needs() -> None:
    """Small frames leave at once, little waits in the kernel, and a dead peer is noticed."""
    ends = connected()
    tune(ends[0])
    tcp = socket.IPPROTO_TCP
    assert ends[0].getsockopt(tcp, socket.TCP_NODELAY) == 1
    assert ends[0].getsockopt(tcp, socket.TCP_NOTSENT_LOWAT) == UNSENT_BYTES
    assert ends[0].getsockopt(tcp, socket.TCP_USER_TIMEOUT) == USER_TIMEOUT_MS
    for end in ends:
        end.close()


def test_another_kind_of_socket_is_left_as_it_is() -> None:
    """What a system or a socket does not know is no failure."""
    one, two = socket.socketpair()
    tune(one)
    one.close()
    two.close()
