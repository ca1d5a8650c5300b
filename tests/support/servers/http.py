"""
A plain HTTP/1.1 server in a process of its own, with bodies whose content the client can check.

    GET  /hello           "hello"                  GET /headers   what the server received, as JSON
    GET  /bytes/<n>       n bytes, see `body`      GET /slow/<n>  n lines, 20 a second
    POST /sum             SHA-256 of the request's body, in hex
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar, Self

from tests.support.processes import Child, inherited_mark
from tests.support.started import Started

_PATTERN = bytes(range(256)) * 256


def body(size: int) -> bytes:
    """What GET /bytes/<size> answers."""
    return (_PATTERN * (size // len(_PATTERN) + 1))[:size]


class HttpServer(Started):
    """The server as a child process; `url` is its address."""

    def __init__(self, host: str = "127.0.0.1", prefix: tuple[str, ...] = ()) -> None:
        self.host = host
        self.port = 0
        self._prefix = prefix
        self._child: Child | None = None

    @property
    def url(self) -> str:
        """Address without a path."""
        return f"http://{self.host}:{self.port}"

    @property
    def log(self) -> str:
        """One line a request."""
        return "" if self._child is None else self._child.output

    def start(self) -> Self:
        """Start it on a free port and return when it accepts."""
        popen = subprocess.Popen(
            [*self._prefix, sys.executable, "-m", __name__, self.host, str(self.port)],
            cwd=Path(__file__).resolve().parents[3],
            env={"PATH": os.environ["PATH"], "PYTHONUNBUFFERED": "1", **inherited_mark()},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._child = Child("http server", popen)
        self.port = int(self._child.wait_for_line(r"listening on port (\d+)")[1])
        return self

    def close(self) -> None:
        """Stop it."""
        if self._child is not None:
            self._child.stop()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout: ClassVar[float] = 60.0

    def do_GET(self) -> None:
        _, kind, *rest = self.path.split("/")
        if kind == "hello":
            self._answer(b"hello")
        elif kind == "headers":
            self._answer(json.dumps(dict(self.headers.items())).encode())
        elif kind == "bytes" and rest and rest[0].isdecimal():
            self._answer(body(int(rest[0])))
        elif kind == "slow" and rest and rest[0].isdecimal():
            self._answer_slowly(int(rest[0]))
        else:
            self.send_error(404)

    def do_POST(self) -> None:
        if self.path != "/sum":
            self.send_error(404)
            return
        digest, left = hashlib.sha256(), int(self.headers.get("Content-Length", "0"))
        while left and (chunk := self.rfile.read(min(left, 1 << 16))):
            digest.update(chunk)
            left -= len(chunk)
        self._answer(digest.hexdigest().encode())

    def _answer(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _answer_slowly(self, count: int) -> None:
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        for number in range(count):
            self.wfile.write(f"line {number}\n".encode())
            self.wfile.flush()
            threading.Event().wait(0.05)
        self.close_connection = True


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def _main() -> None:
    host, port = sys.argv[1], int(sys.argv[2])
    with _Server((host, port), _Handler) as server:
        sys.stdout.write(f"listening on port {server.server_address[1]}\n")
        sys.stdout.flush()
        server.serve_forever()


if __name__ == "__main__":
    _main()
