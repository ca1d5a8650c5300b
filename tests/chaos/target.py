"""
A target that echoes or floods, and knows which of its connections are open.

    first byte  E   every further byte comes back
                B   a flood of a known pattern, until the other side leaves
"""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from types import TracebackType
from typing import Self

ECHO, FLOOD = b"E", b"B"
PATTERN = bytes(range(256)) * 64


class Target:
    """The target on a free port of this machine's loopback; a context manager."""

    def __init__(self) -> None:
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.target = self
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def address(self) -> str:
        """Where it listens."""
        host, port = self._server.server_address[:2]
        return f"{host!s}:{port}"

    @property
    def connections(self) -> int:
        """How many connections are open."""
        with self._lock:
            return len(self._open)

    def begin(self, connection: socket.socket) -> None:
        """Note a connection."""
        with self._lock:
            self._open.add(connection)

    def end(self, connection: socket.socket) -> None:
        """Forget a connection."""
        with self._lock:
            self._open.discard(connection)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        with self._lock:
            left = list(self._open)
        for connection in left:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._server.server_close()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 128
    target: Target


class _Handler(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        assert isinstance(self.server, _Server)
        connection: socket.socket = self.request
        self.server.target.begin(connection)
        try:
            with contextlib.suppress(OSError):
                self._serve(connection)
        finally:
            self.server.target.end(connection)

    def _serve(self, connection: socket.socket) -> None:
        kind = connection.recv(1)
        while kind == FLOOD:
            connection.sendall(PATTERN)
        while data := connection.recv(65536):
            connection.sendall(data)
