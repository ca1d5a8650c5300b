"""TCP targets that misbehave, each in one way. All listen on a port of their own on 127.0.0.1."""

from __future__ import annotations

import contextlib
import functools
import socket
import struct
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

_SMALL_BUFFER = 4096
_CHUNK = b"\x55" * 65536


class Blackhole:
    """
    One misbehaving target; make it with one of the class methods and use it as a context manager.

    `connections` counts what was accepted, `bytes_in` and `bytes_out` what was carried.
    """

    def __init__(self, behaviour: Callable[[Blackhole, socket.socket], None] | None) -> None:
        self.host = "127.0.0.1"
        self.connections = 0
        self.bytes_in = 0
        self.bytes_out = 0
        self._behaviour = behaviour
        self._closing = threading.Event()
        self._held: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._socket = socket.socket()
        self._socket.bind((self.host, 0))
        self.port: int = self._socket.getsockname()[1]

    @classmethod
    def refusing(cls) -> Self:
        """Answers every SYN with RST; the port stays taken, so nobody else starts to listen there."""
        return cls(None)

    @classmethod
    def silent(cls) -> Self:
        """Never completes the handshake: a connect times out, as behind a firewall that drops."""
        hole = cls(None)
        hole._socket.listen(0)
        # Linux drops SYNs once the queue is full, and nobody ever accepts from this one. How many
        # fit is the kernel's affair, so fill until one hangs.
        for _ in range(16):
            client = socket.socket()
            client.setblocking(False)
            client.connect_ex((hole.host, hole.port))
            hole._held.append(client)
        return hole

    @classmethod
    def resetting(cls) -> Self:
        """Accepts and at once resets."""
        return cls(Blackhole._reset)._listen()

    @classmethod
    def closing(cls) -> Self:
        """Accepts and at once closes in order."""
        return cls(Blackhole._close)._listen()

    @classmethod
    def never_reading(cls) -> Self:
        """Accepts, then reads nothing and says nothing; its receive buffer is small."""
        return cls(Blackhole._hold)._listen(receive_buffer=_SMALL_BUFFER)

    @classmethod
    def flooding(cls) -> Self:
        """Accepts and sends without end as fast as it is taken."""
        return cls(Blackhole._flood)._listen()

    @classmethod
    def echoing(cls) -> Self:
        """Behaves: returns what it gets, half-closes when told the end. The control of a test."""
        return cls(Blackhole._echo)._listen()

    def close(self) -> None:
        """Close the port and every connection; returns when all threads have ended."""
        self._closing.set()
        with contextlib.suppress(OSError):
            # Wakes a thread that is blocked in accept.
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        # The first thread is the one that accepts; once it has ended, nothing is added below.
        for thread in self._threads[:1]:
            thread.join()
        for held in self._held:
            with contextlib.suppress(OSError):
                held.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for held in self._held:
            held.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _listen(self, *, receive_buffer: int = 0) -> Self:
        if receive_buffer:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._socket.listen(128)
        self._start(self._accept)
        return self

    def _start(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, name="blackhole", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            self._held.append(connection)
            self._start(functools.partial(self._serve, connection))

    def _serve(self, connection: socket.socket) -> None:
        assert self._behaviour is not None
        with contextlib.suppress(OSError):
            self._behaviour(self, connection)

    def _reset(self, connection: socket.socket) -> None:
        # Linger on with zero seconds makes close send RST.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()

    def _close(self, connection: socket.socket) -> None:
        connection.close()

    def _hold(self, connection: socket.socket) -> None:
        self._closing.wait()

    def _flood(self, connection: socket.socket) -> None:
        while not self._closing.is_set():
            self.bytes_out += connection.send(_CHUNK)

    def _echo(self, connection: socket.socket) -> None:
        while data := connection.recv(65536):
            self.bytes_in += len(data)
            connection.sendall(data)
            self.bytes_out += len(data)
        connection.shutdown(socket.SHUT_WR)
