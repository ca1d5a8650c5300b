from __future__ import annotations

import socket
import struct

from commander.tunnel.transports.tcp_counts import parse_counts, tcp_counts


def test_the_kernel_s_counts_are_read_from_their_places() -> None:
    """Offsets of struct tcp_info in linux/tcp.h."""
    found = bytearray(232)
    for offset, value in ((68, 41_000), (100, 7), (148, 40_000), (152, 30), (156, 20), (224, 3)):
        struct.pack_into("@I", found, offset, value)

    counts = parse_counts(bytes(found))

    assert counts is not None
    assert (counts.sent, counts.repeated, counts.received, counts.out_of_order) == (20, 7, 30, 3)
    assert (counts.rtt_s, counts.least_rtt_s) == (0.041, 0.04)


def test_a_shorter_structure_tells_nothing() -> None:
    """Kernels before 5.4, and other systems."""
    assert parse_counts(bytes(224)) is None


def test_a_living_connection_counts_what_it_sends() -> None:
    """On Linux; a socket that is closed has no counts."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
        with near, far:
            near.sendall(b"x")
            assert far.recv(1) == b"x"
            sent, received = tcp_counts(near), tcp_counts(far)
            assert sent is not None
            assert received is not None
            assert sent.sent == received.received == 1
    assert tcp_counts(near) is None
