"""
Opening one side of a conversation's relay: a TLS stream where the server offers it, else a WebSocket.

Both need the same signed upgrade. The stream is chosen by ALPN on the server's ordinary port, also
through a proxy that can CONNECT; a server, or a program in front of it, that does not choose it gets
the WebSocket.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urlsplit

from websockets.asyncio.client import ClientConnection

from commander.api.client import Api
from commander.api.proxy import choose_proxy
from commander.api.tls import HTTP, shared_context
from commander.api.websocket import open_relay, refusal
from commander.errors import (
    CommanderError,
    InvalidInput,
    TimedOut,
    Unreachable,
)
from commander.wire.calls import RELAY_PATH
from commander.wire.known_server import split_address
from commander.wire.relay import (
    ALPN,
    ANSWER_LIMIT,
    RelayAnswer,
    RelayPrefix,
    read_answer,
    write_prefix,
)

_log = logging.getLogger(__name__)
VARIABLE: Final = "COMMANDER_RELAY"
"""`stream` or `websocket` allows only that one; for measuring, and for networks that break one."""
OPEN_S: Final = 10.0
WITHOUT_STREAM_S: Final = 600.0
"""How long a server that did not choose the stream is not asked for it again."""
_PROXY_ANSWER: Final = 8 * 1024


@dataclass
class RelayStream:
    """
    A connection on which the relay has accepted us; reading is paused.

    `early` is what was read behind the relay's answer.
    """

    transport: asyncio.Transport
    early: bytes


class StreamNotOffered(Unreachable):
    """Server or proxy know no relay streams; the WebSocket is left."""


class RelayOpener:
    """Opens relays of one process, and remembers where only the WebSocket works."""

    def __init__(self, api: Api, environment: Mapping[str, str]) -> None:
        self._api = api
        self._environment = environment
        self._websocket_until = 0.0

    async def open(self, conversation: str) -> RelayStream | ClientConnection:
        """
        Open our side of a conversation's relay.

        Raises Unreachable, TimedOut, or NotLoggedIn, NotAllowed, NotFound when the server refuses.
        """
        wanted = self._environment.get(VARIABLE, "")
        if wanted not in ("", "stream", "websocket"):
            raise InvalidInput(f"{VARIABLE} is {wanted[:20]!r}, not stream or websocket")
        loop = asyncio.get_running_loop()
        if wanted == "stream":
            return await open_stream(self._api, self._environment, conversation)
        if wanted == "" and loop.time() >= self._websocket_until:
            try:
                return await open_stream(self._api, self._environment, conversation)
            except StreamNotOffered:
                self._websocket_until = loop.time() + WITHOUT_STREAM_S
            except (Unreachable, TimedOut) as error:
                # What stands between may break one way and let the other through; or it is
                # only for now, so nothing is remembered.
                _log.info("relay stream: %s", error)
        return await open_relay(self._api, self._environment, conversation)


async def open_stream(api: Api, environment: Mapping[str, str], conversation: str) -> RelayStream:
    """
    Open a relay stream. Raises Unreachable also when the server does not choose it.

    Otherwise raises as `RelayOpener.open`.
    """
    address = api.server.address
    _, authorization = api.upgrade_header(RELAY_PATH + conversation)
    opening = _Opening(write_prefix(RelayPrefix(conversation, authorization)))
    try:
        async with asyncio.timeout(OPEN_S):
            await _connect(api, choose_proxy(environment, address), opening)
            answer = await opening.answer
    except TimeoutError as error:
        opening.abort()
        raise TimedOut(f"server {address} did not open the relay in {OPEN_S:g} s") from error
    except OSError as error:
        opening.abort()
        raise Unreachable(f"no relay stream to server {address}: {error}") from error
    except BaseException:
        opening.abort()
        raise
    if answer.status:
        opening.abort()
        raise _refused(answer, address)
    return opening.stream()


def _refused(answer: RelayAnswer, address: str) -> CommanderError:
    return refusal(answer.status, address, what="relay")


class _Opening(asyncio.Protocol):
    """Sends the prefix once TLS has chosen the relay, and reads the answer."""

    def __init__(self, prefix: bytes) -> None:
        self.answer: asyncio.Future[RelayAnswer] = asyncio.get_running_loop().create_future()
        self._prefix = prefix
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if transport.get_extra_info("ssl_object").selected_alpn_protocol() != ALPN:
            self.answer.set_exception(
                StreamNotOffered("no relay stream: the server does not offer them")
            )
            return
        transport.write(self._prefix)

    def data_received(self, data: bytes) -> None:
        self._received += data
        try:
            found = read_answer(self._received)
        except InvalidInput as error:
            self._fail(error.message)
            return
        if found is None:
            if len(self._received) > ANSWER_LIMIT:
                self._fail("the answer is too long")
            return
        answer, size = found
        self._received = self._received[size:]
        assert self._transport is not None
        self._transport.pause_reading()
        if not self.answer.done():
            self.answer.set_result(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail("the server closed the connection")

    def stream(self) -> RelayStream:
        """What was opened."""
        assert self._transport is not None
        return RelayStream(self._transport, self._received)

    def abort(self) -> None:
        """Give up."""
        self.answer.cancel()
        if self._transport is not None:
            self._transport.abort()

    def _fail(self, reason: str) -> None:
        if not self.answer.done():
            self.answer.set_exception(Unreachable(f"no relay stream: {reason}"))


async def _connect(api: Api, proxy: str, opening: _Opening) -> None:
    host, port = split_address(api.server.address)
    context = shared_context(api.server.ca, (ALPN, *HTTP))
    loop = asyncio.get_running_loop()
    if not proxy:
        await loop.create_connection(
            lambda: opening, host, port, ssl=context, server_hostname=host, ssl_shutdown_timeout=2.0
        )
        return
    connection = await _through_proxy(proxy, host, port)
    try:
        await loop.create_connection(
            lambda: opening,
            sock=connection,
            ssl=context,
            server_hostname=host,
            ssl_shutdown_timeout=2.0,
        )
    except BaseException:
        connection.close()
        raise


async def _through_proxy(proxy: str, host: str, port: int) -> socket.socket:
    """A connection to the server through an HTTP proxy. Raises OSError, Unreachable."""
    found = urlsplit(proxy)
    if found.scheme != "http":
        # TLS inside TLS to the proxy: the WebSocket library knows how.
        raise StreamNotOffered("relay streams go through plain HTTP proxies only")
    loop = asyncio.get_running_loop()
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    head = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if found.username is not None:
        pair = f"{unquote(found.username)}:{unquote(found.password or '')}"
        head.append("Proxy-Authorization: Basic " + base64.b64encode(pair.encode()).decode())
    request = "\r\n".join([*head, "", ""]).encode()
    addresses = await loop.getaddrinfo(found.hostname, found.port, type=socket.SOCK_STREAM)
    family, _, _, _, address = addresses[0]
    connection = socket.socket(family, socket.SOCK_STREAM)
    try:
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await loop.sock_connect(connection, address)
        await loop.sock_sendall(connection, request)
        await _read_proxy_answer(connection)
    except BaseException:
        connection.close()
        raise
    return connection


async def _read_proxy_answer(connection: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    answer = b""
    while b"\r\n\r\n" not in answer:
        # Nothing follows the headers: the server waits for our handshake.
        data = await loop.sock_recv(connection, _PROXY_ANSWER)
        answer += data
        if not data or len(answer) > _PROXY_ANSWER:
            raise Unreachable("the proxy did not answer CONNECT")
    words = answer.split(b"\r\n", 1)[0].split(b" ", 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or words[1] != b"200":
        status = words[1][:3].decode("ascii", "replace") if len(words) > 1 else "nothing"
        raise Unreachable(f"the proxy refused CONNECT with {status}")
