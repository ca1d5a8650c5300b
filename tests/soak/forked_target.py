"""
A target with a process for each connection, so that none waits for another's turn in Python.

    python -m tests.soak.forked_target          prints its port; until standard input ends
    python -m tests.soak.forked_target PORT     takes a flood through a tunnel, until standard input ends

    first byte  E   every further byte comes back
                F   sends without end
                N   reads nothing, and keeps the connection
"""

from __future__ import annotations

import contextlib
import os
import socket
import socketserver
import sys
import threading

from tests.soak.target import ECHO, FLOOD

_PIECE = 256 * 1024


class _Handler(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        connection: socket.socket = self.request
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(OSError):
            kind = connection.recv(1)
            while kind == FLOOD:
                connection.sendall(bytes(_PIECE))
            while kind == ECHO and (data := connection.recv(_PIECE)):
                connection.sendall(data)
            if kind not in (FLOOD, ECHO):
                # Readable for ever, but only an end by reset ends it.
                threading.Event().wait(600)


def serve() -> None:
    """Listen until standard input ends."""
    with socketserver.ForkingTCPServer(("127.0.0.1", 0), _Handler) as server:
        server.request_queue_size = 128
        threading.Thread(target=server.serve_forever, daemon=True).start()
        sys.stdout.write(f"{server.server_address[1]}\n")
        sys.stdout.flush()
        sys.stdin.read()
        # Not `shutdown`: that waits for every child, and some wait for us.
        os.killpg(os.getpgid(0), 9)


def receive(port: int) -> None:
    """Take a flood until standard input ends."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(FLOOD)
        threading.Thread(target=_discard, args=(connection,), daemon=True).start()
        sys.stdin.read()


def _discard(connection: socket.socket) -> None:
    buffer = bytearray(_PIECE)
    with contextlib.suppress(OSError):
        while connection.recv_into(buffer):
            pass


if __name__ == "__main__":
    if sys.argv[1:]:
        receive(int(sys.argv[1]))
    else:
        serve()
