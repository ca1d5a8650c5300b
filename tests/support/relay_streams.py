"""Relay streams at a running router, as clients open them and as strangers might."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trustme

from commander.tunnel.transports.stream_relay import StreamRelayPath
from commander.wire.calls import RELAY_PATH
from commander.wire.relay import (
    ALPN,
    FAREWELL_BYTES,
    RelayAnswer,
    RelayPrefix,
    find_farewell,
    read_answer,
    write_prefix,
)
from tests.support.router_server import Peer, RouterServer, router_server

DEADLINE_S = 20.0


class Stream:
    """A bare connection to the relay port."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.received = b""

    @classmethod
    async def dial(cls, port: int, first: bytes = b"") -> Stream:
        """Connect as anybody may, and say something."""
        loop = asyncio.get_running_loop()
        connection = socket.socket()
        connection.setblocking(False)
        await loop.sock_connect(connection, ("127.0.0.1", port))
        stream = cls(connection)
        if first:
            await stream.send(first)
        return stream

    async def send(self, data: bytes) -> None:
        async with asyncio.timeout(DEADLINE_S):
            await asyncio.get_running_loop().sock_sendall(self.connection, data)

    async def more(self) -> bool:
        """Read once; False at the end."""
        try:
            async with asyncio.timeout(DEADLINE_S):
                data = await asyncio.get_running_loop().sock_recv(self.connection, 262_144)
        except ConnectionError:
            return False
        self.received += data
        return bool(data)

    async def read(self, size: int) -> bytes:
        """Exactly so many bytes."""
        while len(self.received) < size:
            assert await self.more(), "the stream ended"
        data, self.received = self.received[:size], self.received[size:]
        return data

    async def answer(self) -> RelayAnswer:
        """What the relay says to the prefix."""
        while (found := read_answer(self.received)) is None:
            assert await self.more(), "the stream ended"
        self.received = self.received[found[1] :]
        return found[0]

    async def rest(self) -> tuple[bytes, int | None]:
        """Everything to the end, without the relay's last word; and that."""
        while await self.more():
            pass
        code = find_farewell(self.received)
        body = self.received if code is None else self.received[:-FAREWELL_BYTES]
        return body, code

    def close(self) -> None:
        self.connection.close()


def prefix(
    server: RouterServer, peer: Peer, conversation: str, *, time: int | None = None
) -> bytes:
    """A signed prefix of a peer."""
    header = server.header(peer, RELAY_PATH + conversation, time=time)
    return write_prefix(RelayPrefix(conversation, header))


async def open_stream(server: RouterServer, peer: Peer, conversation: str) -> Stream:
    """One side of a relay, let in."""
    stream = await Stream.dial(server.plain_relay_port, prefix(server, peer, conversation))
    assert await stream.answer() == RelayAnswer(0)
    return stream


class _Greeting(asyncio.Protocol):
    """Reads the relay's answer, for a path to take over."""

    def __init__(self) -> None:
        self.received = b""
        self.let_in: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        found = read_answer(self.received)
        if found is not None and not self.let_in.done():
            self.transport.pause_reading()
            self.let_in.set_result(self.received[found[1] :])


async def open_path(
    server: RouterServer,
    peer: Peer,
    conversation: str,
    *,
    port: int = 0,
    context: ssl.SSLContext | None = None,
) -> StreamRelayPath:
    """A path over one side of a relay, through TLS where a context is given."""
    loop = asyncio.get_running_loop()
    transport, greeting = await loop.create_connection(
        _Greeting,
        "127.0.0.1",
        port or server.plain_relay_port,
        ssl=context,
        server_hostname="localhost" if context else None,
    )
    transport.write(prefix(server, peer, conversation))
    early = await greeting.let_in
    return StreamRelayPath(transport, early)


class Authority:
    """A CA, and contexts of a server and its clients."""

    def __init__(self, *protocols: str) -> None:
        authority = trustme.CA()
        self.pem = authority.cert_pem.bytes().decode()
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost", "127.0.0.1").configure_cert(self.server)
        self.client = ssl.create_default_context(cadata=self.pem)
        if protocols:
            self.server.set_alpn_protocols(list(protocols))


@asynccontextmanager
async def stream_paths(
    *, tls: bool = False
) -> AsyncIterator[tuple[StreamRelayPath, StreamRelayPath]]:
    """Both ends of a conversation, joined by a router, through TLS on request."""
    authority = Authority(ALPN, "http/1.1") if tls else None
    async with router_server(
        tls=authority.server if authority else None, trust=authority.client if authority else None
    ) as server:
        device, gateway, conversation = await server.introduce()
        context = ssl.create_default_context(cadata=authority.pem) if authority else None
        if context is not None:
            context.set_alpn_protocols([ALPN])
        port = server.port if context is not None else 0
        yield (
            await open_path(server, device, conversation, port=port, context=context),
            await open_path(server, gateway, conversation, port=port, context=context),
        )
