"""Waiting for something to become true, with a deadline that is generous and an error that says what was missed."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")

# Tests share two cores with each other: a deadline only ends a hang, it measures nothing.
DEADLINE_S = 30.0
_POLL_S = 0.02


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
    A TCP port nobody uses now. Somebody may take it before the caller does, so a
    server started on it is retried on another; prefer port 0 where the server can say what it got.
    """
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
    return port
