"""One receive buffer for all TLS connections of a thread, instead of 256 KiB for each."""

from __future__ import annotations

import threading
from asyncio import sslproto
from typing import Any, Final, overload

_BUFFER_BYTES: Final = 256 * 1024
_NAMES: Final = ("_ssl_buffer", "_ssl_buffer_view")
_COPIES: Final = ("_incoming", "write", "_ssl_buffer_view")


class _Shared(threading.local):
    """An event loop reads one connection at a time, and each thread has its own loop."""

    def __init__(self) -> None:
        self.buffer = bytearray(_BUFFER_BYTES)
        self.view = memoryview(self.buffer)


_shared = _Shared()


class _Buffer:
    """Stands where asyncio keeps a connection's buffer or its view, and gives the thread's."""

    def __init__(self, name: str) -> None:
        self._is_view = name.endswith("view")

    @overload
    def __get__(self, instance: None, owner: type) -> _Buffer: ...
    @overload
    def __get__(self, instance: object, owner: type) -> bytearray | memoryview: ...
    def __get__(self, instance: object, owner: type) -> _Buffer | bytearray | memoryview:
        if instance is None:
            return self
        return _shared.view if self._is_view else _shared.buffer

    def __set__(self, instance: object, value: object) -> None:
        """What asyncio allocates for the connection is let go."""


def share_tls_buffers(protocol: type[Any] = sslproto.SSLProtocol) -> bool:
    """
    Let all TLS connections of asyncio receive into one buffer; call before the first of them.

    asyncio gives each 256 KiB that it holds for as long as the connection lives, idle or not: three
    quarters of what an idle tunnel or WebSocket costs. What is received is copied out of the buffer
    before anything else is read (SSLProtocol.buffer_updated), so one is enough; a smaller one for
    each would cost bulk 5 to 8 % more processor time. Tells whether this asyncio could be told: its
    class is not public, and is left alone unless it looks as it does in Python 3.11 to 3.15.
    """
    if getattr(protocol, "max_size", 0) != _BUFFER_BYTES:
        return False
    if not _uses(protocol, "__init__", _NAMES) or not _uses(protocol, "buffer_updated", _COPIES):
        return False
    for name in _NAMES:
        setattr(protocol, name, _Buffer(name))
    return True


def _uses(protocol: type[Any], method: str, names: tuple[str, ...]) -> bool:
    code = getattr(getattr(protocol, method, None), "__code__", None)
    return code is not None and set(code.co_names).issuperset(names)
