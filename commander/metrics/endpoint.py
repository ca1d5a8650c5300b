"""
The HTTP endpoint of metrics and health: three pages, GET only, for a scraper on this machine.

    GET /healthz   200 while the process answers at all
    GET /readyz    200 when it can do its work, else 503 and a line for each reason
    GET /metrics   the metrics in Prometheus' text format

It has no authentication, so by default it listens on loopback only. It reads one small request a
connection, within a deadline, and whatever goes wrong in it stays in it: the program goes on.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from ipaddress import ip_address

from commander import tasks
from commander.errors import NotAllowed, UsageError
from commander.metrics.exposition import CONTENT_TYPE

_log = logging.getLogger(__name__)
REQUEST_BYTES = 4096
REQUEST_S = 5.0
ANSWER_S = 10.0
MAX_CONNECTIONS = 16
_TEXT = "text/plain; charset=utf-8"
_REASONS = {
    200: "OK", 400: "Bad Request", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
    413: "Content Too Large", 431: "Request Header Fields Too Large", 500: "Internal Server Error",
    503: "Service Unavailable",
}  # fmt: skip

NotReady = Callable[[], Awaitable[list[str]]]
"""Why the program can't do its work now, one line each; empty when it can. Quick, or it is cut off."""


@dataclass(frozen=True)
class Listen:
    """Where to listen, as `read_listen` accepted it."""

    host: str
    port: int

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it."""
        return ip_address(self.host).is_loopback


def read_listen(text: str, *, allow_remote: bool) -> Listen:
    """
    Read ADDRESS:PORT. Raises UsageError, or NotAllowed for an address that other machines reach.

    Names are refused: what they mean may change under us.
    """
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    hint = "write --metrics-listen 127.0.0.1:9464"
    try:
        address = ip_address(host)
    except ValueError:
        raise UsageError(f"--metrics-listen {text[:60]!r} names no IP address", hint=hint) from None
    if not colon or not (
        port.isascii() and port.isdigit() and len(port) <= 5 and int(port) < 65536
    ):
        raise UsageError(f"--metrics-listen {text[:60]!r} names no port", hint=hint)
    if not address.is_loopback and not allow_remote:
        raise NotAllowed(
            f"{host} can be reached by other machines, and the endpoint asks nobody who they are",
            hint="use 127.0.0.1, or give --metrics-allow-remote where a firewall lets only the scraper in",
        )
    return Listen(host, int(port))


@dataclass(frozen=True)
class Pages:
    """What the endpoint shows."""

    metrics: Callable[[], bytes]
    not_ready: NotReady


class Endpoint:
    """Serves the pages between `start` and `close`."""

    def __init__(self, listen: Listen, pages: Pages) -> None:
        self._listen = listen
        self._pages = pages
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    async def start(self) -> str:
        """
        Listen; returns the address, or "" when the port can't be had.

        A taken port is told in the log and ends nothing: whoever watches misses the metrics, and
        the users of the program miss nothing.
        """
        family = socket.AF_INET6 if ":" in self._listen.host else socket.AF_INET
        try:
            self._server = await asyncio.start_server(
                self._accept, self._listen.host, self._listen.port, family=family,
                limit=REQUEST_BYTES, backlog=MAX_CONNECTIONS,
            )  # fmt: skip
        except OSError as error:
            _log.error(
                "metrics: cannot listen on %s port %d: %s",
                self._listen.host, self._listen.port, error.strerror,
            )  # fmt: skip
            return ""
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    async def close(self) -> None:
        """Stop; idempotent."""
        if self._server is not None:
            self._server.close()
            self._server = None
        await tasks.cancel_and_wait(*self._open)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._open) >= MAX_CONNECTIONS:
            writer.transport.abort()
            return
        task = tasks.spawn(self._serve(reader, writer), name="metrics")
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_S):
                status, path = await _read(reader, any_host=not self._listen.is_local)
            async with asyncio.timeout(ANSWER_S):
                writer.write(await self._answer(status, path))
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (TimeoutError, OSError):
            _log.debug("metrics: a connection was given up")
        finally:
            writer.transport.abort()

    async def _answer(self, status: int, path: bytes) -> bytes:
        if status != 200:
            return _response(status, (_REASONS[status].lower() + "\n").encode())
        try:
            return await self._page(path)
        except Exception:  # noqa: BLE001  the top: a fault in here must not reach the program
            _log.exception("metrics: the page could not be made")
            return _response(500, b"the page could not be made; see the log\n")

    async def _page(self, path: bytes) -> bytes:
        if path == b"/healthz":
            return _response(200, b"ok\n")
        if path == b"/readyz":
            reasons = await self._pages.not_ready()
            text = "\n".join(reasons) if reasons else "ready"
            return _response(503 if reasons else 200, text.encode() + b"\n")
        if path == b"/metrics":
            return _response(200, self._pages.metrics(), content_type=CONTENT_TYPE)
        return _response(404, b"not found: /healthz, /readyz, /metrics\n")


async def _read(reader: asyncio.StreamReader, *, any_host: bool) -> tuple[int, bytes]:
    """Status and path of one request; never its body."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError:
        return 431, b""
    except asyncio.IncompleteReadError:
        return 400, b""
    return judge_request(head, any_host=any_host)


def judge_request(head: bytes, *, any_host: bool = False) -> tuple[int, bytes]:
    """
    The status and path of a request's head. Pure.

    Unless `any_host`, the Host header has to be an address: the owner of a name could point it
    at us, and have a browser on this machine read the pages.
    """
    line, *headers = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    words = line.split(b" ")
    if len(words) != 3 or not words[2].startswith(b"HTTP/1."):
        return 400, b""
    if words[0] != b"GET":
        return 405, b""
    names = {header.partition(b":")[0].strip().lower(): header for header in headers}
    if b"transfer-encoding" in names or _declares_body(names.get(b"content-length", b"")):
        return 413, b""
    if b"origin" in names or not (any_host or _is_host_plain(names.get(b"host", b""))):
        return 403, b""
    return 200, words[1].partition(b"?")[0]


def _declares_body(header: bytes) -> bool:
    return header.partition(b":")[2].strip() not in (b"", b"0")


def _is_host_plain(header: bytes) -> bool:
    host = header.partition(b":")[2].strip().decode("latin-1")
    if not host or host.partition(":")[0] == "localhost":
        return True
    bare = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    try:
        ip_address(bare)
    except ValueError:
        return False
    return True


def _response(status: int, body: bytes, *, content_type: str = _TEXT) -> bytes:
    allow = "Allow: GET\r\n" if status == 405 else ""
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\nCache-Control: no-store\r\n"
        f"X-Content-Type-Options: nosniff\r\n{allow}Connection: close\r\n\r\n"
    )
    return head.encode("latin-1") + body
