"""Any content of the kernel's connection table."""

from __future__ import annotations

from commander.tunnel.peer import Socket, find_socket

NAME = "tunnel-peer"


def fuzz(data: bytes) -> None:
    """No table is an error."""
    lines = data.decode("ascii", "replace").splitlines()
    found = find_socket(lines, ("127.0.0.1", 1), ("::1", 2))
    assert found is None or isinstance(found, Socket)
