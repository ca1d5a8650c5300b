"""Requests to a server, with errors for people."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager

import httpcore

from commander.api.connections import FAILED, NOT_SENT, TIMED_OUT, Connections, read_body
from commander.api.transport import ANSWER_LIMIT, HttpAnswer, NotSent
from commander.errors import Unreachable


class HttpTransport:
    """Fits `transport.Transport`."""

    def __init__(self, address: str, context: ssl.SSLContext, *, proxy: str = "") -> None:
        self._address = address
        self._proxy = proxy
        self._connections = Connections(address, context, proxy=proxy)

    async def post(self, path: str, body: bytes, *, timeout_s: float) -> HttpAnswer:
        """Send a body and wait for the answer."""
        headers = {"content-type": "application/octet-stream"}
        async with self.stream("POST", path, timeout_s, headers, body) as response:
            return HttpAnswer(response.status, await self._read(response))

    async def get(self, path: str, *, timeout_s: float) -> HttpAnswer:
        """Fetch a public page."""
        async with self.stream("GET", path, timeout_s, {}, None) as response:
            return HttpAnswer(response.status, await self._read(response))

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        step_s: float,
        headers: Mapping[str, str],
        body: bytes | AsyncIterator[bytes] | None,
    ) -> AsyncIterator[httpcore.Response]:
        """
        A request whose body and answer go piece by piece; every step has `step_s`.

        Raises NotSent, Unreachable.
        """
        with self._errors(step_s):
            async with self._connections.request(
                method, path, headers=headers, body=body, step_s=step_s
            ) as response:
                yield response

    async def close(self) -> None:
        """Close all connections; idempotent."""
        await self._connections.close()

    @contextmanager
    def _errors(self, timeout_s: float) -> Iterator[None]:
        try:
            yield
        except NOT_SENT as error:
            raise NotSent(self._why(error), hint=self._hint(error)) from error
        except TIMED_OUT as error:
            raise Unreachable(
                f"server {self._address} did not answer within {timeout_s:g} s",
                hint="try again; if it stays so, look at the server",
            ) from error
        except FAILED as error:
            raise Unreachable(
                f"the connection to server {self._address} broke ({type(error).__name__})",
                hint="try again",
            ) from error

    async def _read(self, response: httpcore.Response) -> bytes:
        body = await read_body(response, ANSWER_LIMIT)
        if body is None:
            raise Unreachable(f"the answer of server {self._address} is too large")
        return body

    def _why(self, error: Exception) -> str:
        refusal = _certificate_error(error)
        if refusal is not None:
            return (
                f"the certificate of server {self._address} is not trusted: "
                f"{refusal.verify_message}"
            )
        if isinstance(error, httpcore.ProxyError):
            return f"the proxy did not connect to server {self._address}: {error}"
        reason = "no answer" if isinstance(error, TIMED_OUT) else str(error)
        way = " through the proxy in HTTPS_PROXY" if self._proxy else ""
        return f"server {self._address} cannot be reached{way}: {reason}"

    def _hint(self, error: Exception) -> str:
        if _certificate_error(error) is not None:
            return "give the server's CA with --ca-file, or use a join string"
        return "check that it runs and that the address is right (--server HOST:PORT)"


def _certificate_error(error: BaseException) -> ssl.SSLCertVerificationError | None:
    current: BaseException | None = error
    while current is not None:
        if isinstance(current, ssl.SSLCertVerificationError):
            return current
        current = current.__cause__ or current.__context__
    return None
