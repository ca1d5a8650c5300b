from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from commander.audit.events import LogHeadChanged
from commander.authority.statements import Kind
from commander.clock import ManualClock
from commander.codec import encode
from commander.errors import Conflict, NotAllowed, Refused, Unreachable
from commander.gateway import agent as agent_module
from commander.gateway.agent import Agent, SocketClosed, is_final
from commander.gateway.audit import AuditOutbox
from commander.wire.commands import Deliver, Head, Hello, Send, read_routed
from tests.support.gateway_world import Asked, Running, World


class Socket:
    """A control socket in memory; the test plays the router."""

    def __init__(self) -> None:
        self.incoming: asyncio.Queue[bytes | Exception] = asyncio.Queue()
        self.sent: list[object] = []
        self.answers_pings = True
        self.closed = False

    async def send(self, data: bytes) -> None:
        self.sent.append(read_routed(data))

    async def receive(self) -> bytes:
        message = await self.incoming.get()
        if isinstance(message, Exception):
            raise message
        return message

    async def ping(self, *, within_s: float) -> None:
        if not self.answers_pings:
            raise Unreachable("no pong")

    async def close(self) -> None:
        self.closed = True

    def replies(self) -> list[Send]:
        return [message for message in self.sent if isinstance(message, Send)]


@dataclass
class Router:
    """Hands out a socket for each connection; `fails` raises instead."""

    world: World
    sockets: list[Socket] = field(default_factory=list)
    fails: Exception | None = None

    async def connect(self) -> Socket:
        if self.fails is not None:
            raise self.fails
        socket = Socket()
        socket.incoming.put_nowait(self.head())
        self.sockets.append(socket)
        return socket

    def head(self) -> bytes:
        state = self.world.enterprise.state
        return encode(Head(state.seq, state.head))


@dataclass
class Life:
    """An agent that runs."""

    agent: Agent
    router: Router
    running: Running
    outbox: AuditOutbox
    states: list[str]
    task: asyncio.Task[None]

    async def online(self, number: int = 1) -> Socket:
        await until(lambda: self.states.count("online") >= number)
        return self.router.sockets[-1]


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


async def live(world: World, monkeypatch: pytest.MonkeyPatch) -> Life:
    """Start an agent whose waits are short."""
    monkeypatch.setattr(agent_module, "PING_EVERY_S", 0.05)
    monkeypatch.setattr(agent_module, "POLL_S", 0.05)
    running = await world.service()
    router, states = Router(world), list[str]()

    async def stored(events: tuple[bytes, ...]) -> int:
        return outbox.waiting

    outbox = AuditOutbox(
        world.tmp_path / "outbox", producer=world.gateway, key=world.gateway_key,
        clock=ManualClock(), upload=stored,
    )  # fmt: skip
    agent = Agent(
        running.service, running.follower, outbox, router.connect, gateway=world.gateway,
        version="1.0", clock=world.clock, changed=states.append, rng=random.Random(1),
    )  # fmt: skip
    return Life(agent, router, running, outbox, states, asyncio.ensure_future(agent.run()))


async def ask(life: Life, socket: Socket) -> Asked:
    """Let the router deliver a good command, and wait for the reply."""
    asked = life.running.world.command()
    count = len(socket.replies())
    socket.incoming.put_nowait(encode(asked.message))
    await until(lambda: len(socket.replies()) > count)
    return asked


async def stop(life: Life) -> None:
    life.agent.stop()
    await asyncio.wait_for(life.task, 20)


async def test_it_greets_answers_and_stops(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hello first, a reply to its sender, tunnels ended at the stop."""
    life = await live(world, monkeypatch)
    socket = await life.online()

    asked = await ask(life, socket)

    assert socket.sent[0] == Hello("1.0", "")
    assert socket.replies()[0].to == asked.message.sender
    assert len(life.running.service.sessions) == 1
    await stop(life)
    assert len(life.running.service.sessions) == 0
    assert socket.closed


async def test_it_comes_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a loss it connects again, and tunnels are not touched."""
    life = await live(world, monkeypatch)
    first = await life.online()
    await ask(life, first)

    first.incoming.put_nowait(SocketClosed(1012, "restart"))
    second = await life.online(2)

    assert second is not first
    assert life.states == ["online", "offline", "online"]
    assert len(life.running.service.sessions) == 1
    await ask(life, second)
    await stop(life)


async def test_a_silent_router_is_noticed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a pong the connection is given up and a new one made."""
    life = await live(world, monkeypatch)
    socket = await life.online()

    socket.answers_pings = False

    assert await life.online(2) is not socket
    await stop(life)


@pytest.mark.parametrize("message", [b"\xc1", b"", encode(Hello("1", ""))[:-1]])
async def test_garbage_of_the_router_ends_the_connection_only(
    world: World, monkeypatch: pytest.MonkeyPatch, message: bytes
) -> None:
    """What does not parse makes it connect anew."""
    life = await live(world, monkeypatch)
    socket = await life.online()

    socket.incoming.put_nowait(message)

    await life.online(2)
    await stop(life)


async def test_a_head_makes_it_judge_and_tell(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new head is fetched, live tunnels are judged, and the audit log says how many ended."""
    monkeypatch.setattr(agent_module, "POLL_S", 60)
    life = await live(world, monkeypatch)
    monkeypatch.setattr(agent_module, "POLL_S", 60)
    socket = await life.online()
    await ask(life, socket)
    world.enterprise.revoke(Kind.ACCESS, world.folder, world.bob.user)

    socket.incoming.put_nowait(life.router.head())

    await until(lambda: not len(life.running.service.sessions))

    def heads() -> list[LogHeadChanged]:
        events = [entry.event() for entry in life.outbox._entries]
        return [event for event in events if isinstance(event, LogHeadChanged)]

    await until(lambda: any(event.tunnels_killed for event in heads()))
    assert heads()[-1].seq == world.enterprise.state.seq
    await stop(life)


async def test_a_poll_finds_what_the_router_hides(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without any announcement a revocation is found by the poll."""
    life = await live(world, monkeypatch)
    await ask(life, await life.online())

    world.enterprise.revoke(Kind.ACCESS, world.folder, world.bob.user)

    await until(lambda: not len(life.running.service.sessions))
    await stop(life)


async def test_being_fenced_ends_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process with the same identity: this one ends its tunnels and says so."""
    life = await live(world, monkeypatch)
    socket = await life.online()
    await ask(life, socket)

    socket.incoming.put_nowait(SocketClosed(4001, "fenced"))

    with pytest.raises(Conflict) as caught:
        await asyncio.wait_for(life.task, 20)
    assert caught.value.code == "fenced"
    assert len(life.running.service.sessions) == 0


async def test_being_removed_ends_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the log, or told by the server: a gateway that is none any more stops."""
    life = await live(world, monkeypatch)
    socket = await life.online()

    world.enterprise.revoke(Kind.GATEWAY, world.gateway)
    socket.incoming.put_nowait(life.router.head())

    with pytest.raises(NotAllowed):
        await asyncio.wait_for(life.task, 20)


async def test_a_revoked_close_ends_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that no longer lets it read the log says so by the close code."""
    life = await live(world, monkeypatch)
    socket = await life.online()

    socket.incoming.put_nowait(SocketClosed(4003, "object-revoked"))

    with pytest.raises(NotAllowed):
        await asyncio.wait_for(life.task, 20)


async def test_a_flood_of_commands_is_dropped(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than wait are dropped and counted; those that wait are answered."""
    monkeypatch.setattr(agent_module, "MAX_COMMANDS_WAITING", 5)
    life = await live(world, monkeypatch)
    socket = await life.online()

    for _ in range(50):
        noise = Deliver("A" * 22, world.bob.device, b"x" * 2000)
        socket.incoming.put_nowait(encode(noise))

    await until(lambda: life.running.service.counters["dropped"] >= 1)
    await until(socket.replies)
    await ask(life, socket)
    await stop(life)


def test_which_failures_stay() -> None:
    """Only being fenced or removed ends the program; all else is tried again."""
    assert is_final(Conflict("fenced"))
    assert is_final(NotAllowed("status 403"))
    assert is_final(Refused("revoked", code="device-revoked"))
    assert not is_final(Refused("stale", code="request-stale"))
    assert not is_final(Refused("forked", code="log-forked"))
    assert not is_final(Unreachable("away"))
