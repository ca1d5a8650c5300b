"""The one buffer that all paths of a thread receive into."""

from __future__ import annotations

import threading
from typing import Final

from commander.tunnel.transports.framing import MAX_FRAME_BYTES

BUFFER_BYTES: Final = 256 * 1024 + 4 * MAX_FRAME_BYTES
"""Received at once at most: several messages of a busy path."""


class _Shared(threading.local):
    """A buffer for each thread, since each event loop has one: it reads one path at a time."""

    def __init__(self) -> None:
        self.view = memoryview(bytearray(BUFFER_BYTES))


_shared = _Shared()


def receive_buffer() -> memoryview:
    """
    The thread's receive buffer.

    What is in it is gone at the next read of any path, so a thousand idle paths hold no memory.
    """
    return _shared.view
