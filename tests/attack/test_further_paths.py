"""An evil router between a tunnel that comes back and its gateway: replays, swaps, lies, mispairs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from commander.audit.events import CommandRefused, PathAttached
from commander.authority.refusals import Code
from commander.codec import decode, encode
from commander.hosting.hosted import HostedTunnel
from commander.ids import new_uid
from commander.wire.commands import Deliver, ReplyEnvelope, Send, Undeliverable
from tests.support.gateway_world import World, database
from tests.support.kept_tunnels import Carrier, Kept, Router, kept
from tests.support.tunnels import eventually

pytestmark = pytest.mark.integration


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A world whose record leads to an echo server."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    world = World(tmp_path)
    world.edit(world.record, database("127.0.0.1", server.sockets[0].getsockname()[1]))
    try:
        yield world
    finally:
        server.close()


async def check_alive(tunnel: HostedTunnel) -> None:
    """A new connection carries bytes both ways."""
    info = tunnel.info()
    reader, writer = await asyncio.open_connection(info.local_host, info.local_port)
    writer.write(b"alive")
    async with asyncio.timeout(30):
        assert await reader.readexactly(5) == b"alive"
    writer.close()


async def resumed(it: Kept) -> tuple[HostedTunnel, Send]:
    """A tunnel that came back once, and the command by which it did."""
    tunnel = await it.start("relay")
    await it.board.cut("relay")
    await it.resumed(tunnel)
    return tunnel, it.router.commands[-1]


def refusals(world: World) -> list[str]:
    return [event.code for event in world.journal.events if isinstance(event, CommandRefused)]


def attached(world: World) -> int:
    return sum(isinstance(event, PathAttached) for event in world.journal.events)


async def deliver(it: Kept, send: Send, *, conversation: str = "", sender: str = "") -> None:
    """Hand the gateway a command that was seen before, as it was or in other names."""
    sender = sender or it.world.bob.device
    await it.running.service.handle(
        Deliver(conversation or send.conversation, sender, send.payload)
    )


async def test_a_replayed_command_attaches_nothing(world: World, tmp_path: Path) -> None:
    """The same bytes a second and third time: command-replayed, and one path as before."""
    async with kept(world, tmp_path, "relay") as it:
        tunnel, command = await resumed(it)
        await eventually(lambda: attached(world) == 1, "the path is audited")

        await deliver(it, command)
        await deliver(it, command)

        assert refusals(world) == [Code.COMMAND_REPLAYED] * 2
        assert attached(world) == 1
        await check_alive(tunnel)


async def test_a_restart_revives_no_command(world: World, tmp_path: Path) -> None:
    """The next process of the gateway refuses what was sent to the one before."""
    async with kept(world, tmp_path, "relay") as it:
        _, command = await resumed(it)
        before, it.running = it.running, await world.service()

        await deliver(it, command)

        assert refusals(world) == [Code.COMMAND_BEFORE_START]
        await before.service.close()


async def test_a_command_in_other_names_does_not_open(world: World, tmp_path: Path) -> None:
    """Another conversation, another sender: command-malformed."""
    async with kept(world, tmp_path, "relay") as it:
        tunnel, command = await resumed(it)

        await deliver(it, command, conversation=new_uid())
        await deliver(it, command, conversation=tunnel.conversation)
        await deliver(it, command, sender=world.alice.device)

        assert refusals(world) == [Code.COMMAND_MALFORMED] * 3
        await check_alive(tunnel)


async def test_commands_out_of_order_do_no_harm(world: World, tmp_path: Path) -> None:
    """Held back until a later one has done its work, the earlier one brings a path that is not needed."""
    async with kept(world, tmp_path, "relay") as it:
        held = HoldingRouter.over(it.router)
        tunnel = await it.start("relay")
        held.hold = 1
        await it.board.cut("relay")
        await it.resumed(tunnel)

        await held.release()

        assert refusals(world) == []
        await check_alive(tunnel)


async def test_sides_of_different_attempts_never_meet(world: World, tmp_path: Path) -> None:
    """A router that joins two attempts fails at HELLO; no byte passes, and the next attempt works."""
    async with kept(world, tmp_path, "relay") as it:
        one, two = await it.start("relay"), await it.start("relay")
        it.board.mispair = 4
        await it.board.cut("relay")
        for tunnel in (one, two):
            await it.resumed(tunnel)
            await check_alive(tunnel)

        assert it.board.mispaired
        assert it.board.mispair == 0


async def test_replies_of_another_attempt_are_not_believed(world: World, tmp_path: Path) -> None:
    """An old answer, one with a flipped bit, one made up: tampered; the honest one is believed."""
    async with kept(world, tmp_path, "relay") as it:
        lying = LyingRouter.over(it.router)
        tunnel = await it.start("relay")
        await it.board.cut("relay")
        await it.resumed(tunnel)
        lying.lies = ["old", "flipped", "made up"]
        await it.board.cut("relay")
        await eventually(lambda: len(it.log(tunnel, "resumed")) == 2, "it comes back")

        codes = [line["code"] for line in it.log(tunnel, "failed")]
        assert codes == ["tampered"] * 3
        await check_alive(tunnel)


@pytest.mark.parametrize("code", [Code.CONVERSATION_UNKNOWN, Code.RECORD_UNKNOWN, "revoked"])
async def test_the_router_does_not_speak_for_the_gateway(
    world: World, tmp_path: Path, code: str
) -> None:
    """What only a gateway may say ends nothing when the router says it."""
    async with kept(world, tmp_path, "relay") as it:
        lying = LyingRouter.over(it.router)
        tunnel = await it.start("relay")
        lying.says = [code, code]
        await it.board.cut("relay")
        await it.resumed(tunnel)

        assert len(it.log(tunnel, "failed")) == 2
        await check_alive(tunnel)


class HoldingRouter(Router):
    """Keeps the next commands back until it is told to deliver them."""

    hold = 0
    held: list[tuple[Carrier, Send]]

    @classmethod
    def over(cls, router: Router) -> HoldingRouter:
        """Turn an honest router into one."""
        router.__class__ = cls
        assert isinstance(router, HoldingRouter)
        router.held = []
        return router

    async def judge(self, carrier: Carrier, send: Send) -> None:
        if self.hold:
            self.hold -= 1
            self.held.append((carrier, send))
            return
        await super().judge(carrier, send)

    async def release(self) -> None:
        for carrier, send in self.held:
            await super().judge(carrier, send)


class LyingRouter(Router):
    """Changes replies, or answers itself, as often as it is told to."""

    lies: list[str]
    says: list[str]
    last: bytes = b""

    @classmethod
    def over(cls, router: Router) -> LyingRouter:
        """Turn an honest router into one."""
        router.__class__ = cls
        assert isinstance(router, LyingRouter)
        router.lies, router.says = [], []
        return router

    async def judge(self, carrier: Carrier, send: Send) -> None:
        if self.says:
            told = Undeliverable(send.conversation, self.says.pop(0), "because I say so")
            carrier.put(encode(told))
            return
        await super().judge(carrier, send)

    def reply(self, carrier: Carrier, deliver: Deliver) -> None:
        honest, kind = deliver.payload, self.lies.pop(0) if self.lies else ""
        if kind == "old":
            deliver = Deliver(deliver.conversation, deliver.sender, self.last)
        elif kind == "flipped":
            bent = honest[:-1] + bytes([honest[-1] ^ 1])
            deliver = Deliver(deliver.conversation, deliver.sender, bent)
        elif kind == "made up":
            envelope = decode(ReplyEnvelope, honest)
            forged = ReplyEnvelope(False, envelope.reply, envelope.signature)
            deliver = Deliver(deliver.conversation, deliver.sender, encode(forged))
        self.last = honest
        super().reply(carrier, deliver)
