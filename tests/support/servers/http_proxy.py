"""An HTTP CONNECT proxy that counts, may demand a password, and may refuse."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from types import TracebackType
from typing import Self

from tests.support.waiting import free_port

_HEAD_LIMIT = 16 * 1024
_CHUNK = 64 * 1024
_DEADLINE_S = 30.0


class HttpProxy:
    """
    A forward proxy for CONNECT on a free port, in the running event loop.

    From plain code run `start` and `close` on a LoopThread. The counters may be
    read at any time; `refuse` and `credentials` may be changed at any time.
    """

    def __init__(self, host: str = "127.0.0.1", *, credentials: str = "") -> None:
        self.host = host
        self.port = free_port(host)  # the same over restarts
        self.credentials = credentials  # "user:password", or none demanded
        self.refuse = False
        self.connects: list[str] = []  # "host:port" of each tunnel that was opened
        self.refused = 0  # requests answered with an error status
        self.plain_requests = 0  # requests that were no CONNECT
        self.bytes_up = 0
        self.bytes_down = 0
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        """What HTTPS_PROXY is set to, with the password when one is demanded."""
        account = f"{self.credentials}@" if self.credentials else ""
        return f"http://{account}{self.host}:{self.port}"

    async def start(self) -> Self:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, self.host, self.port)
        return self

    def drop_connections(self) -> None:
        """Cut every tunnel that is open now, as a restarting proxy would."""
        for writer in list(self._open):
            writer.transport.abort()

    async def close(self) -> None:
        """Stop listening and cut what is open."""
        if self._server is None:
            return
        self._server.close()
        self.drop_connections()
        await self._server.wait_closed()
        self._server = None

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            with contextlib.suppress(
                OSError, ValueError, TimeoutError, asyncio.IncompleteReadError
            ):
                await self._serve_one(reader, writer)
        finally:
            self._open.discard(writer)
            writer.close()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _DEADLINE_S)
        lines = head[:_HEAD_LIMIT].decode("latin-1").split("\r\n")
        method, target, _ = lines[0].split(" ", 2)
        headers = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines[1:])
        }
        if (status := self._status_for(method, headers)) != 200:
            self.refused += 1
            answer = f"HTTP/1.1 {status} no\r\nContent-Length: 0\r\nConnection: close\r\n"
            if status == 407:
                answer += 'Proxy-Authenticate: Basic realm="test"\r\n'
            writer.write(f"{answer}\r\n".encode())
            await writer.drain()
            return
        await self._carry(target, reader, writer)

    def _status_for(self, method: str, headers: dict[str, str]) -> int:
        if method != "CONNECT":
            self.plain_requests += 1
            return 405
        if self.refuse:
            return 403
        expected = "Basic " + base64.b64encode(self.credentials.encode()).decode()
        if self.credentials and headers.get("proxy-authorization") != expected:
            return 407
        return 200

    async def _carry(
        self, target: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        host, _, port = target.rpartition(":")
        try:
            far_reader, far_writer = await asyncio.wait_for(
                asyncio.open_connection(host.strip("[]"), int(port)), _DEADLINE_S
            )
        except OSError:
            self.refused += 1
            writer.write(b"HTTP/1.1 502 no\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
            return
        self.connects.append(target)
        self._open.add(far_writer)
        try:
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await asyncio.gather(
                self._copy(reader, far_writer, up=True), self._copy(far_reader, writer, up=False)
            )
        finally:
            self._open.discard(far_writer)
            far_writer.close()

    async def _copy(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, up: bool
    ) -> None:
        while chunk := await reader.read(_CHUNK):
            if up:
                self.bytes_up += len(chunk)
            else:
                self.bytes_down += len(chunk)
            writer.write(chunk)
            await writer.drain()
        with contextlib.suppress(OSError):
            writer.write_eof()
