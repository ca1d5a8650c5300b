"""HTTP/1.1 with keep-alive over verified TLS, by httpx; imported only by what talks to a server."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager

import httpx

from commander.api.transport import ANSWER_LIMIT, HttpAnswer, NotSent
from commander.errors import Unreachable

CONNECT_S = 10.0
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)


class HttpTransport:
    """Fits `transport.Transport`. Follows no redirect, keeps no cookie, reads no environment."""

    def __init__(self, address: str, context: ssl.SSLContext, *, proxy: str = "") -> None:
        self._address = address
        self._proxy = proxy
        self._client = httpx.AsyncClient(
            base_url=f"https://{address}",
            verify=context,
            proxy=proxy or None,
            http2=False,
            trust_env=False,
            follow_redirects=False,
            headers={"accept-encoding": "identity", "user-agent": "commander"},
            limits=httpx.Limits(max_connections=8, max_keepalive_connections=2),
        )

    async def post(self, path: str, body: bytes, *, timeout_s: float) -> HttpAnswer:
        """Send a body and wait for the answer."""
        headers = {"content-type": "application/octet-stream"}
        request = self._client.build_request(
            "POST", path, content=body, headers=headers, timeout=_timeout(timeout_s)
        )
        return await self._send(request, timeout_s)

    async def get(self, path: str, *, timeout_s: float) -> HttpAnswer:
        """Fetch a public page."""
        return await self._send(
            self._client.build_request("GET", path, timeout=_timeout(timeout_s)), timeout_s
        )

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        stall_s: float,
        headers: Mapping[str, str],
        body: AsyncIterator[bytes] | None,
    ) -> AsyncIterator[httpx.Response]:
        """
        A request whose body and answer go piece by piece; every step has `stall_s`.

        Raises NotSent, Unreachable.
        """
        request = self._client.build_request(
            method, path, content=body, headers=dict(headers), timeout=_timeout(stall_s)
        )
        with self._errors(stall_s):
            response = await self._client.send(request, stream=True)
            try:
                yield response
            finally:
                await response.aclose()

    async def close(self) -> None:
        """Close all connections; idempotent."""
        await self._client.aclose()

    async def _send(self, request: httpx.Request, timeout_s: float) -> HttpAnswer:
        with self._errors(timeout_s):
            response = await self._client.send(request, stream=True)
            try:
                return HttpAnswer(response.status_code, await self._read(response))
            finally:
                await response.aclose()

    @contextmanager
    def _errors(self, timeout_s: float) -> Iterator[None]:
        try:
            yield
        except _NOT_SENT as error:
            raise NotSent(self._why(error), hint=self._hint(error)) from error
        except httpx.TimeoutException as error:
            raise Unreachable(
                f"server {self._address} did not answer within {timeout_s:g} s",
                hint="try again; if it stays so, look at the server",
            ) from error
        except httpx.HTTPError as error:
            raise Unreachable(
                f"the connection to server {self._address} broke ({type(error).__name__})",
                hint="try again",
            ) from error

    async def _read(self, response: httpx.Response) -> bytes:
        parts = bytearray()
        async for chunk in response.aiter_raw():
            parts += chunk
            if len(parts) > ANSWER_LIMIT:
                raise Unreachable(f"the answer of server {self._address} is too large")
        return bytes(parts)

    def _why(self, error: Exception) -> str:
        refusal = _certificate_error(error)
        if refusal is not None:
            return (
                f"the certificate of server {self._address} is not trusted: "
                f"{refusal.verify_message}"
            )
        if isinstance(error, httpx.ProxyError):
            return f"the proxy did not connect to server {self._address}: {error}"
        reason = "no answer" if isinstance(error, httpx.TimeoutException) else str(error)
        way = " through the proxy in HTTPS_PROXY" if self._proxy else ""
        return f"server {self._address} cannot be reached{way}: {reason}"

    def _hint(self, error: Exception) -> str:
        if _certificate_error(error) is not None:
            return "give the server's CA with --ca-file, or use a join string"
        return "check that it runs and that the address is right (--server HOST:PORT)"


def _timeout(timeout_s: float) -> httpx.Timeout:
    return httpx.Timeout(timeout_s, connect=min(CONNECT_S, timeout_s))


def _certificate_error(error: BaseException) -> ssl.SSLCertVerificationError | None:
    current: BaseException | None = error
    while current is not None:
        if isinstance(current, ssl.SSLCertVerificationError):
            return current
        current = current.__cause__ or current.__context__
    return None
