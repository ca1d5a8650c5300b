"""
HTTP/1.1 with keep-alive over verified TLS to one server, by httpcore; imported only by what talks to a server.

httpcore is the engine below httpx. What httpx adds (redirects, cookies, encodings, the environment) is nothing
that a signed request may have, and it took a tenth of a second of every command to import.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from urllib.parse import unquote, urlsplit

import httpcore

CONNECT_S = 10.0
MAX_CONNECTIONS = 8
KEPT_CONNECTIONS = 2
# The server waits twice as long for the next request: a connection that it is about to close must not be
# taken for one more, because whether a request on it arrived nobody could tell.
KEPT_S = 5.0
# What a request can end with. After one of NOT_SENT nothing of it has reached the server.
NOT_SENT = (
    httpcore.ConnectError,
    httpcore.ConnectTimeout,
    httpcore.PoolTimeout,
    httpcore.ProxyError,
)
TIMED_OUT = httpcore.TimeoutException
# The connection ended before the answer; the server may be there all the same.
BROKEN = (httpcore.ReadError, httpcore.WriteError, httpcore.RemoteProtocolError)
FAILED = (
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ProxyError,
    httpcore.TimeoutException,
)


class Connections:
    """
    Connections to `host:port`, through a proxy when one is given; close them at the end.

    Follows no redirect, keeps no cookie, decodes nothing, reads no environment.
    """

    def __init__(self, address: str, context: ssl.SSLContext, *, proxy: str = "") -> None:
        self._address = address
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=context,
            max_connections=MAX_CONNECTIONS,
            max_keepalive_connections=KEPT_CONNECTIONS,
            keepalive_expiry=KEPT_S,
            proxy=_proxy(proxy) if proxy else None,
        )

    def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        body: bytes | AsyncIterator[bytes] | None,
        step_s: float,
    ) -> AbstractAsyncContextManager[httpcore.Response]:
        """
        One request; within the context its answer's status and body can be read.

        Every step (connect, a piece sent, a piece read) has `step_s`, connecting at most 10 s.
        A body that comes in pieces needs a `content-length`. Raises what is in FAILED.
        """
        every = {"host": self._address, "accept-encoding": "identity", "user-agent": "commander"}
        steps = {
            "connect": min(CONNECT_S, step_s),
            "pool": step_s,
            "read": step_s,
            "write": step_s,
        }
        return self._pool.stream(
            method,
            f"https://{self._address}{path}",
            headers=[*every.items(), *headers.items()],
            content=body,
            extensions={"timeout": steps},
        )

    async def close(self) -> None:
        """Close all connections; idempotent."""
        await self._pool.aclose()


async def read_body(response: httpcore.Response, limit: int) -> bytes | None:
    """The whole body, or None when it has more than `limit` bytes."""
    parts = bytearray()
    async for piece in response.aiter_stream():
        parts += piece
        if len(parts) > limit:
            return None
    return bytes(parts)


def _proxy(url: str) -> httpcore.Proxy:
    """The password in a proxy's address goes into a header, not into what is connected to."""
    parts = urlsplit(url)
    secret = (unquote(parts.username or ""), unquote(parts.password or ""))
    return httpcore.Proxy(
        f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}",
        auth=secret if any(secret) else None,
    )
