"""The control socket against the real server program: heads, peers, reconnects, refusals."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from commander.api.bootstrap import open_transport
from commander.api.client import Api, Caller
from commander.api.socket import RouterSocket
from commander.clock import SystemClock
from commander.errors import Conflict, NotAllowed, NotLoggedIn, Unreachable
from commander.ids import new_uid
from commander.tasks import cancel_and_wait, spawn
from commander.wire.commands import Head, Undeliverable
from tests.integration.api.conftest import Ann

pytestmark = pytest.mark.integration

DEADLINE_S = 30.0
CLOCK = SystemClock()


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
    await api.close()


async def test_socket_to_a_dead_server_raises_what_went_wrong(ann: Ann) -> None:
    """The last failure to connect, not just that time is up."""
    server = ann.product.server
    assert server is not None
    await asyncio.to_thread(server.stop)

    async with router_socket(ann.api) as socket:
        with pytest.raises(Unreachable):
            await socket.wait_connected(timeout_s=1)


class Reluctant(random.Random):
    """Makes every pause between attempts last for minutes."""

    def random(self) -> float:
        """Far outside what a generator gives."""
        return 10_000.0


async def test_whoever_waits_for_a_connection_hurries_it(ann: Ann) -> None:
    """After a long absence of the server the pauses are long; a command does not wait for their end."""
    attempts: list[Unreachable] = []

    async def refuse(*_: object) -> Any:
        attempts.append(Unreachable("away"))
        raise attempts[-1]

    async with router_socket(ann.api, rng=Reluctant(), connect=refuse) as socket:
        await wait_for(lambda: len(attempts) == 1)

        waiting = spawn(socket.wait_connected(timeout_s=None), name="command")
        await wait_for(lambda: len(attempts) >= 3)
        await cancel_and_wait(waiting)
        with pytest.raises(Unreachable, match="away"):
            await socket.wait_connected(timeout_s=0.1)
