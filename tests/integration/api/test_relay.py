"""Opening a relay: the stream where it is chosen, the WebSocket where it is not, proxies, refusals."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from websockets.asyncio.client import ClientConnection

from commander.api.client import Api, Caller
from commander.api.http import HttpTransport
from commander.api.relay import VARIABLE, RelayOpener, RelayStream, open_stream
from commander.api.tls import verified_context
from commander.crypto.box import BoxPrivateKey
from commander.crypto.signing import SigningKey
from commander.errors import InvalidInput, NotFound, NotLoggedIn, Unreachable
from commander.ids import new_uid
from commander.router import limits
from commander.router.stream import StreamConnection
from commander.wire.known_server import KnownServer
from commander.wire.relay import ALPN
from tests.support.relay_streams import Authority
from tests.support.router_server import Peer, RouterServer, router_server
from tests.support.servers.http_proxy import HttpProxy

pytestmark = pytest.mark.integration


@dataclass
class World:
    """A router behind TLS, an introduced device, and its client."""

    server: RouterServer
    authority: Authority
    device: Peer
    gateway: Peer
    conversation: str

    def api(self, peer: Peer | None = None) -> Api:
        """The client of a peer; the device's unless named."""
        peer = peer or self.device
        box = BoxPrivateKey.generate().public
        known = KnownServer(
            f"127.0.0.1:{self.server.port}", new_uid(), SigningKey.generate().public.raw,
            box.raw, self.authority.pem,
        )  # fmt: skip
        transport = HttpTransport(known.address, verified_context(known.ca))
        caller = Caller(peer.uid, peer.principal.session, peer.key)
        return Api(transport, known, clock=self.server.clock, caller=caller)


@asynccontextmanager
async def world(*protocols: str) -> AsyncIterator[World]:
    authority = Authority(*protocols)
    async with router_server(tls=authority.server, trust=authority.client) as server:
        yield World(server, authority, *await server.introduce())


@pytest.fixture
async def streams() -> AsyncIterator[World]:
    """A server that offers relay streams."""
    async with world(ALPN, "http/1.1") as found:
        yield found


@pytest.fixture(params=[("http/1.1",), ()], ids=["http only", "no ALPN"])
async def without(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """A server, or something in front of it, that does not choose them."""
    async with world(*request.param) as found:
        yield found


async def end(opened: RelayStream | ClientConnection) -> None:
    if isinstance(opened, RelayStream):
        opened.transport.abort()
    else:
        await opened.close()


async def test_a_stream_is_opened_where_the_server_offers_it(streams: World) -> None:
    """Both ends, joined: what one writes the other reads."""
    here = await RelayOpener(streams.api(), {}).open(streams.conversation)
    there = await RelayOpener(streams.api(streams.gateway), {}).open(streams.conversation)
    assert isinstance(here, RelayStream)
    assert isinstance(there, RelayStream)
    assert streams.server.router.relays.counters["paired"] == 1
    await end(here)
    await end(there)


async def test_the_websocket_is_taken_where_streams_are_not_chosen(without: World) -> None:
    """By itself, and the next time without asking again."""
    opener = RelayOpener(without.api(), {})
    for _ in range(2):
        opened = await opener.open(without.conversation)
        assert isinstance(opened, ClientConnection)
        await end(opened)


@pytest.mark.parametrize(
    ("wanted", "kind"), [("stream", RelayStream), ("websocket", ClientConnection)]
)
async def test_the_environment_may_allow_one_only(
    streams: World, wanted: str, kind: type[object]
) -> None:
    """For measuring, and for networks that break one of them."""
    opened = await RelayOpener(streams.api(), {VARIABLE: wanted}).open(streams.conversation)
    assert isinstance(opened, kind)
    await end(opened)


async def test_a_stream_alone_fails_where_it_is_not_chosen(without: World) -> None:
    """And says so."""
    with pytest.raises(Unreachable, match="does not offer them"):
        await RelayOpener(without.api(), {VARIABLE: "stream"}).open(without.conversation)


async def test_an_unknown_wish_is_refused(streams: World) -> None:
    """Before anything is opened."""
    with pytest.raises(InvalidInput, match="carrier-pigeon"):
        await RelayOpener(streams.api(), {VARIABLE: "carrier-pigeon"}).open(streams.conversation)


async def test_refusals_are_the_servers_word_and_no_reason_to_try_the_other_way(
    streams: World,
) -> None:
    """An unknown conversation, a device that was revoked."""
    with pytest.raises(NotFound, match="refused the relay with status 404"):
        await RelayOpener(streams.api(), {}).open(new_uid())
    stranger = Peer(streams.device.principal)
    with pytest.raises(NotLoggedIn):
        await RelayOpener(streams.api(stranger), {}).open(streams.conversation)


async def test_streams_go_through_a_proxy(streams: World) -> None:
    """By CONNECT, with its password when it wants one."""
    async with HttpProxy(credentials="ann:se cret") as proxy:
        environment = {"HTTPS_PROXY": proxy.url.replace(" ", "%20")}
        opened = await open_stream(streams.api(), environment, streams.conversation)
        assert proxy.connects == [f"127.0.0.1:{streams.server.port}"]
        await end(opened)


async def test_a_proxy_that_refuses_is_named(streams: World) -> None:
    """With its status; and one that is not there with the system's reason."""
    async with HttpProxy() as proxy:
        proxy.refuse = True
        environment = {"HTTPS_PROXY": proxy.url}
        with pytest.raises(Unreachable, match="the proxy refused CONNECT with"):
            await open_stream(streams.api(), environment, streams.conversation)
    with pytest.raises(Unreachable):
        await RelayOpener(streams.api(), environment).open(streams.conversation)


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1\r\n\r\n", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\n" * 1000]
)
async def test_nonsense_from_a_proxy_is_an_error(streams: World, answer: bytes) -> None:
    """Bounded, and coded like every failure to connect."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    proxy = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = proxy.sockets[0].getsockname()[1]
    with pytest.raises(Unreachable):
        await open_stream(
            streams.api(), {"HTTPS_PROXY": f"http://127.0.0.1:{port}"}, streams.conversation
        )
    proxy.close()


async def test_tls_to_the_proxy_is_left_to_the_websocket(streams: World) -> None:
    """Said so, which the opener takes as a reason to try it."""
    with pytest.raises(Unreachable, match="plain HTTP proxies only"):
        await open_stream(streams.api(), {"HTTPS_PROXY": "https://127.0.0.1:1"}, "c")


async def test_a_stream_that_failed_once_is_tried_again(streams: World) -> None:
    """A busy moment is no reason for the slower way later; only "not offered" is remembered."""
    opener = RelayOpener(streams.api(), {})
    streams.server.router.streams.judged.update(
        StreamConnection(streams.server.router.streams, lambda *_: None)
        for _ in range(limits.MAX_JUDGED)
    )
    opened = await opener.open(streams.conversation)
    assert isinstance(opened, ClientConnection)
    await end(opened)
    streams.server.router.streams.judged.clear()
    opened = await opener.open(streams.conversation)
    assert isinstance(opened, RelayStream)
    await end(opened)


async def test_a_server_that_is_away_is_unreachable(streams: World) -> None:
    """Whichever way."""
    api = streams.api()
    with pytest.raises(Unreachable):
        await RelayOpener(
            Api(
                HttpTransport("127.0.0.1:1", verified_context(streams.authority.pem)),
                KnownServer(
                    "127.0.0.1:1", new_uid(), b"", api.server.box_key, streams.authority.pem
                ),
                clock=streams.server.clock,
                caller=Caller(streams.device.uid, "", streams.device.key),
            ),
            {},
        ).open(streams.conversation)
