"""The control WebSocket and HTTP against the real server program: upgrades, heads, reconnects, proxies."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
import trustme

from commander.api.bootstrap import connector, learn_server, open_transport
from commander.api.client import Api, Caller
from commander.api.socket import RouterSocket
from commander.api.websocket import open_relay, open_router
from commander.clock import SystemClock
from commander.config.paths import Paths
from commander.errors import CommanderError, Conflict, NotAllowed, NotLoggedIn, Unreachable
from commander.ids import new_uid
from commander.launch.kept_login import resume_session
from commander.plugin.testing import FakeContext
from commander.vault.session import Vault
from commander.vault.unlock import resume_login
from commander.wire import calls
from commander.wire.commands import Head, Undeliverable
from tests.support.processes import Home
from tests.support.product import Product, User
from tests.support.servers.http_proxy import HttpProxy

pytestmark = pytest.mark.integration

DEADLINE_S = 30.0
CLOCK = SystemClock()


def context_of(home: Home) -> FakeContext:
    paths = Paths(home.commander, home.runtime / "commander")
    return FakeContext(paths=paths, clock=CLOCK)


@dataclass
class Ann:
    """The first administrator, with vault and client in this process."""

    product: Product
    user: User
    vault: Vault
    api: Api


@pytest.fixture
async def ann(product: Product) -> AsyncIterator[Ann]:
    await asyncio.to_thread(product.start_server)
    user = await asyncio.to_thread(product.set_up)
    session = await resume_session(context_of(user.home))
    yield Ann(product, user, session.vault, session.api)
    await session.api.close()


@dataclass
class Heads:
    """Heads that a socket heard of."""

    seen: list[Head] = field(default_factory=list)
    moved: asyncio.Event = field(default_factory=asyncio.Event)

    def __call__(self, head: Head) -> None:
        self.seen.append(head)
        self.moved.set()


@asynccontextmanager
async def router_socket(api: Api, **more: Any) -> AsyncIterator[RouterSocket]:
    socket = RouterSocket(api, more.pop("environment", {}), clock=CLOCK, version="1", **more)
    socket.start()
    try:
        yield socket
    finally:
        await socket.close()


async def wait_for(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await asyncio.sleep(0.02)


async def test_head_of_a_commit_is_pushed(ann: Ann) -> None:
    """A new log head reaches a connected socket without asking."""
    heads = Heads()
    async with router_socket(ann.api, on_head=heads) as socket:
        await socket.wait_connected()
        await ann.vault.create_shared_folder("New")

        await wait_for(lambda: any(head.seq == ann.vault.state.seq for head in heads.seen))

    assert heads.seen[-1].digest == ann.vault.state.head
    assert not socket.is_connected


async def test_message_to_nobody_is_undeliverable(ann: Ann) -> None:
    """With a code, within its conversation only."""
    async with router_socket(ann.api) as socket:
        uid = new_uid()
        async with socket.conversation(uid) as conversation:
            with pytest.raises(Conflict):
                async with socket.conversation(uid):
                    raise AssertionError("a conversation is opened once")
            await conversation.send(new_uid(), b"hello")

            answer = await conversation.receive(timeout_s=DEADLINE_S)

    assert isinstance(answer, Undeliverable)
    assert answer.conversation == uid


async def test_socket_comes_back_after_the_server_died(ann: Ann) -> None:
    """An open conversation hears of the loss; later ones work again."""
    async with router_socket(ann.api) as socket, socket.conversation(new_uid()) as conversation:
        await socket.wait_connected()
        server = ann.product.server
        assert server is not None
        await asyncio.to_thread(server.kill)
        lost = await conversation.receive(timeout_s=DEADLINE_S)
        await asyncio.to_thread(ann.product.start_server)

        await socket.wait_connected(timeout_s=DEADLINE_S)
        await conversation.send(new_uid(), b"hello")
        answer = await conversation.receive(timeout_s=DEADLINE_S)

    assert isinstance(lost, Undeliverable)
    assert lost.code == "unreachable"
    assert isinstance(answer, Undeliverable)


async def test_socket_without_a_session_is_refused_for_good(ann: Ann) -> None:
    """An unknown session is not tried again and again: it needs a login."""
    caller = ann.api.caller
    assert caller is not None
    stranger = Caller(caller.principal, "no such session", caller.key)
    transport = open_transport(ann.api.server, {})
    api = Api(transport, ann.api.server, clock=CLOCK, caller=stranger)

    async with router_socket(api) as socket:
        with pytest.raises((NotLoggedIn, NotAllowed)):
            await socket.wait_connected()
    with pytest.raises((NotLoggedIn, NotAllowed)):
        await open_relay(api, {}, new_uid())
    await api.close()


async def test_relay_of_an_unknown_conversation_is_refused(ann: Ann) -> None:
    """Nobody was introduced in it."""
    with pytest.raises(CommanderError):
        await open_relay(ann.api, {}, new_uid())


async def test_everything_goes_through_the_proxy(ann: Ann) -> None:
    """HTTP and WebSocket use CONNECT; a NO_PROXY entry keeps them from it."""
    async with HttpProxy() as proxy:
        environment = {"HTTPS_PROXY": proxy.url}
        login = resume_login(context_of(ann.user.home).paths, CLOCK)
        caller = Caller(login.device.device, login.session, login.device.signing_key())
        transport = open_transport(ann.api.server, environment)
        api = Api(transport, ann.api.server, clock=CLOCK, caller=caller)
        await api.call(calls.SESSION, calls.Empty())
        websocket = await open_router(api, environment)
        await websocket.close()
        await api.close()

    transport = open_transport(ann.api.server, environment)
    with pytest.raises(Unreachable, match="proxy"):
        await transport.get(calls.INFO_PATH, timeout_s=5)
    await transport.close()
    with pytest.raises(Unreachable):
        await open_router(ann.api, environment)
    direct = environment | {"NO_PROXY": "127.0.0.1"}
    websocket = await open_router(ann.api, direct)
    await websocket.close()


async def test_server_with_another_certificate_is_not_talked_to(ann: Ann) -> None:
    """A CA that did not issue the server's certificate: nothing is sent, the reason is told."""
    other = trustme.CA().cert_pem.bytes().decode()
    known = msgspec.structs.replace(ann.api.server, ca=other)
    api = Api(open_transport(known, {}), known, clock=CLOCK, caller=ann.api.caller)

    with pytest.raises(Unreachable, match="certificate"):
        await api.call(calls.COMMIT, calls.Commit())
    with pytest.raises(Unreachable):
        await open_router(api, {})
    with pytest.raises(Unreachable, match="certificate"):
        await learn_server(known.address, connector({}), ca=other)
    await api.close()


async def test_server_that_is_gone_is_unreachable(ann: Ann) -> None:
    """Code 6 for HTTP and WebSocket, and the socket's own failure is what is raised."""
    server = ann.product.server
    assert server is not None
    await asyncio.to_thread(server.stop)

    with pytest.raises(Unreachable, match="cannot be reached"):
        await ann.api.call(calls.COMMIT, calls.Commit())
    async with router_socket(ann.api) as socket:
        with pytest.raises(Unreachable):
            await socket.wait_connected(timeout_s=1)


async def test_environment_of_this_process_is_not_read(
    ann: Ann, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the environment that is passed in counts, for HTTP and WebSocket alike."""
    monkeypatch.setitem(os.environ, "HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.setitem(os.environ, "ALL_PROXY", "http://127.0.0.1:1")

    await ann.api.call(calls.SESSION, calls.Empty())
    websocket = await open_router(ann.api, {})
    await websocket.close()
