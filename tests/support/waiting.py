"""Waiting for something to become true, with a deadline that is generous and an error that says what was missed."""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

_T = TypeVar("_T")

# Tests share two cores with each other: a deadline only ends a hang, it measures nothing.
DEADLINE_S = 30.0
_POLL_S = 0.02
_given: set[int] = set()  # the ports of `free_port`


class NeverHappened(AssertionError):
    """The awaited thing did not come before the deadline."""


def until(condition: Callable[[], _T | None], what: str, *, deadline_s: float = DEADLINE_S) -> _T:
    """Ask again and again until the condition is truthy; its value. Raises NeverHappened naming `what`."""
    end = time.monotonic() + deadline_s
    pause = threading.Event()
    while True:
        if value := condition():
            return value
        if time.monotonic() >= end:
            raise NeverHappened(f"{what}: not within {deadline_s:g} s")
        pause.wait(_POLL_S)


def is_listening(port: int, host: str = "127.0.0.1") -> bool:
    """Tell whether a TCP connection is accepted there now."""
    try:
        socket.create_connection((host, port), timeout=2).close()
    except OSError:
        return False
    return True


def free_port(host: str = "127.0.0.1") -> int:
    """
    A TCP and UDP port that nobody uses now and that the system gives nobody by itself.

    A port from `bind` to 0 may belong to any connection that is made a moment later, or while a server is
    down; these lie outside that range. Test processes share them out, and none is given twice.
    """
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    while True:
        port = secrets.choice(_kept_from_the_system()[worker::workers])
        if port not in _given and _is_free(host, port):
            _given.add(port)
            return port


def _kept_from_the_system() -> range:
    """The larger side of the range of ports that connections get; any port where neither is worth it."""
    try:
        given = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
        first, last = map(int, given)
    except (OSError, ValueError):
        first, last = 32_768, 60_999
    below, above = range(10_000, first), range(last + 1, 65_536)
    return max(below, above, range(10_000, 11_000), key=len)


def _is_free(host: str, port: int) -> bool:
    with socket.socket() as stream, socket.socket(type=socket.SOCK_DGRAM) as datagram:
        try:
            stream.bind((host, port))
            datagram.bind((host, port))
        except OSError:
            return False
    return True
