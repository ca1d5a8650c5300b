"""
The outermost layer: what is refused before anything reads a request.

Strict on purpose, since whatever two programs read differently is a way in: one spelling of a
path, no method overrides, no compressed bodies, no doubled headers. Also: who the peer is, and
a number for every internal error, which is all that a stranger learns of it.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_log = logging.getLogger(__name__)
_SINGLE = {b"host", b"content-length", b"content-encoding", b"content-type", b"transfer-encoding"}
_HEADERS_BYTES = 16 * 1024
Network = IPv4Network | IPv6Network


def peer_of(request: Request) -> str:
    """The address that the door established."""
    return request.client.host if request.client else "unknown"


class Door:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, *, proxies: Sequence[Network] = ()) -> None:
        self._app = app
        self._proxies = tuple(proxies)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass on with the peer's true address as `scope["client"]`."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        refusal = _refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        scope["client"] = (_address_of(scope, self._proxies), 0)
        await _guarded(self._app, scope, receive, send)


async def _guarded(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    started = False

    async def watch(message: Message) -> None:
        nonlocal started
        started = True
        await send(message)

    try:
        await app(scope, receive, watch)
    except Exception:
        number = secrets.token_hex(4)
        _log.exception("internal error %s at %s", number, scope.get("path", "")[:100])
        if started or scope["type"] != "http":
            raise
        answer = PlainTextResponse(f"internal error {number}", status_code=500)
        await answer(scope, receive, send)


def _refusal(scope: Scope) -> Response | None:
    path, raw_path = scope["path"], scope.get("raw_path") or b""
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    names = [name for name, _ in headers]
    if (raw_path and raw_path.decode("latin-1") != path) or not _is_plain(path):
        return PlainTextResponse("not found", status_code=404)
    if sum(len(name) + len(value) for name, value in headers) > _HEADERS_BYTES:
        return PlainTextResponse("headers are too large", status_code=431)
    if any(names.count(name) > 1 for name in _SINGLE):
        return PlainTextResponse("bad request", status_code=400)
    if b"content-length" in names and b"transfer-encoding" in names:
        return PlainTextResponse("bad request", status_code=400)
    encodings = [value for name, value in headers if name == b"content-encoding"]
    if any(value.lower() != b"identity" for value in encodings):
        return PlainTextResponse("compressed bodies are not read", status_code=415)
    return None


def _is_plain(path: str) -> bool:
    return path.isascii() and path.isprintable() and "//" not in path and "/." not in path


def _address_of(scope: Scope, proxies: Sequence[Network]) -> str:
    """The peer; what it forwards for counts only when it is a proxy we were told of."""
    client = scope.get("client")
    address = str(client[0]) if client else "unknown"
    if not _is_in(address, proxies):
        return address
    forwarded = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
    # Read from our side: the last address that is not itself a proxy is the one we can believe.
    hops = b",".join(forwarded).decode("latin-1").split(",")
    for hop in reversed([hop.strip() for hop in hops]):
        if not _is_address(hop):
            return address
        if not _is_in(hop, proxies):
            return hop
    return address


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _is_in(text: str, networks: Sequence[Network]) -> bool:
    if not networks or not _is_address(text):
        return False
    address = ip_address(text)
    return any(address in network for network in networks)
