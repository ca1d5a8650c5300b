"""Checks of a target: judged as a start is, one connection, a coded answer and no more."""

from __future__ import annotations

import asyncio
import socket

import pytest

from commander.audit.events import TargetCheck
from commander.authority.refusals import Code
from commander.codec import decode
from commander.errors import Refused
from commander.gateway.limits import CHECKS_BURST
from commander.wire.commands import CHECK_TARGET, PROBE_TUNNEL, CheckAnswer
from commander.wire.pam import ConfigurationSettings
from tests.support.gateway_world import Asked, Running, World, database
from tests.support.waiting import free_port

pytestmark = pytest.mark.integration


async def check(running: Running) -> CheckAnswer:
    """Ask for a check that is accepted; what the gateway answers."""
    asked, reply = await running.start(action=CHECK_TARGET)
    assert reply.accepted, reply.code
    return _answer(asked, reply.answer)


def _answer(asked: Asked, answer: bytes) -> CheckAnswer:
    return decode(CheckAnswer, asked.signalling.open(answer))


async def test_a_target_that_listens_is_connected_once_and_told_nothing(world: World) -> None:
    """The code is empty, the check is audited first, and the target got no byte."""
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.put_nowait(await reader.read())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    world.edit(world.record, database("127.0.0.1", server.sockets[0].getsockname()[1]))
    running = await world.service()

    answer = await check(running)

    assert (answer.code, answer.connect_ms >= 0) == ("", True)
    async with asyncio.timeout(60):
        assert await heard.get() == b""
    assert heard.empty()
    event = world.journal.events[-1]
    assert isinstance(event, TargetCheck)
    assert (event.user, event.record) == (world.bob.user, world.record.uid)
    assert len(running.service.sessions) == 0
    server.close()


async def test_why_a_target_was_not_connected_is_a_code(world: World) -> None:
    """A refused port and an unknown name are told apart."""
    world.edit(world.record, database("127.0.0.1", free_port()))
    running = await world.service()
    assert (await check(running)).code == "target-refused"

    world.names.clear()
    world.edit(world.record, database("gone.example", 5432))
    assert (await check(running)).code in ("target-unreachable", "target-name-unknown")


async def test_a_check_is_judged_as_a_start_is(world: World) -> None:
    """Who may not start a tunnel learns nothing of the target; a forbidden address is not connected."""
    stranger = world.enterprise.add_person("eve@acme.example")
    running = await world.service(allowances=())
    with socket.create_server(("127.0.0.1", 0)) as listener:
        world.edit(world.record, database("127.0.0.1", listener.getsockname()[1]))
        listener.setblocking(False)

        _, refused = await running.start(stranger, action=CHECK_TARGET)
        _, forbidden = await running.start(action=CHECK_TARGET)

        assert (refused.accepted, refused.code) == (False, Code.POLICY_MISSING)
        assert (forbidden.accepted, forbidden.code) == (False, Code.TARGET_FORBIDDEN)
        with pytest.raises(BlockingIOError):
            listener.accept()


async def test_nothing_is_connected_when_the_check_cannot_be_audited(world: World) -> None:
    """A full disk refuses the check before its effect."""
    running = await world.service()
    world.journal.error = Refused("the disk is full", code=Code.AUDIT_UNAVAILABLE)

    _, reply = await running.start(action=CHECK_TARGET)

    assert (reply.accepted, reply.code) == (False, Code.AUDIT_UNAVAILABLE)


@pytest.mark.parametrize("action", [CHECK_TARGET, PROBE_TUNNEL])
async def test_nothing_that_stops_a_start_lets_a_check_or_probe_through(
    world: World, action: str
) -> None:
    """Replayed, with a foreign offer, for a record of others, with tunneling off: the same codes."""
    hidden = world.add_record(world.add_folder(shared=False), database("127.0.0.1", 1))
    world.configure(hidden, world.settings)
    running = await world.service()
    asked, first = await running.start(action=action)
    again = await running.ask(asked)
    _, broken = await running.start(action=action, offer=b"no offer")
    _, foreign = await running.start(action=action, record=hidden.uid)
    world.configure(world.configuration, ConfigurationSettings(world.gateway, tunneling="off"))
    _, off = await running.start(action=action)

    codes = [reply.code for reply in (first, again, broken, foreign, off)]
    assert codes == [
        "", Code.COMMAND_REPLAYED, Code.OFFER_BROKEN, Code.ACCESS_MISSING, Code.TUNNELING_OFF,
    ]  # fmt: skip
    await running.service.close()


async def test_checks_of_one_user_are_few(world: World) -> None:
    """A check is no way to knock at a target again and again."""
    world.edit(world.record, database("127.0.0.1", free_port()))
    running = await world.service()

    codes = [
        (await running.start(action=CHECK_TARGET))[1].code for _ in range(int(CHECKS_BURST) + 1)
    ]

    assert codes[-1] == Code.LIMIT_REACHED
    assert set(codes[:-1]) == {""}
