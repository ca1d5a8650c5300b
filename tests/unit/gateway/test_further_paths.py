"""Each reason for which a live tunnel gets no further path, and which of them end it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from commander.audit.events import CommandRefused, TunnelKilled
from commander.authority.refusals import Code
from commander.authority.statements import Kind
from commander.crypto.signing import SigningKey
from commander.errors import CommanderError
from commander.gateway.limits import MAX_ATTEMPTS, PATHS_BURST, StartLimits
from commander.ids import new_uid
from commander.tunnel.codes import CloseCode
from commander.tunnel.engine import TunnelEnd
from commander.tunnel.reports import TunnelLimits
from commander.wire.commands import Offer, PathParameters
from commander.wire.pam import ConfigurationSettings, ResourceSettings
from tests.support.gateway_world import Asked, Running, World, answer_of, database, new_device


async def started(running: Running) -> Asked:
    """A tunnel of Bob's."""
    asked, reply = await running.start()
    assert reply.accepted
    return asked


async def close(running: Running) -> None:
    """End what a test opened."""
    await running.service.sessions.close_all(CloseCode.STOPPED, "end of test")


async def test_a_good_command_gets_a_further_path(world: World) -> None:
    """The control of every test below: the same tunnel, a fresh conversation, an answer."""
    running = await world.service()
    start = await started(running)
    asked = world.path_command(start)

    reply = await running.ask(asked)

    assert (reply.accepted, reply.code) == (True, "")
    assert answer_of(asked, reply).kinds == ("memory",)
    assert len(running.service.sessions) == 1
    assert asked.command.conversation in world.kinds.client_ends
    await close(running)


PASSING: dict[str, tuple[Code, Callable[[World, Asked], dict[str, Any]]]] = {
    "another gateway": (Code.COMMAND_NOT_FOR_ME, lambda w, s: {"gateway": new_uid()}),
    "another action": (Code.COMMAND_UNKNOWN_ACTION, lambda w, s: {"action": "tunnel.paths"}),
    "the tunnel's own conversation": (
        Code.COMMAND_MALFORMED,
        lambda w, s: {"conversation": s.command.conversation},
    ),
    "another key": (Code.SIGNATURE_BROKEN, lambda w, s: {"key": SigningKey.generate()}),
    "unknown device": (Code.DEVICE_UNKNOWN, lambda w, s: {"person": new_device(w.bob)}),
    "another device": (Code.CONVERSATION_UNKNOWN, lambda w, s: {"person": w.alice}),
    "another record": (Code.CONVERSATION_UNKNOWN, lambda w, s: {"record": w.configuration.uid}),
    "another tunnel": (
        Code.CONVERSATION_UNKNOWN,
        lambda w, s: {"parameters": PathParameters(new_uid(), 9)},
    ),
    "61 s old": (
        Code.COMMAND_EXPIRED,
        lambda w, s: {
            "issued_at": int(w.clock.now()) - 61,
            "expires_at": int(w.clock.now()) - 1,
        },
    ),
    "position ahead": (Code.LOG_BEHIND, lambda w, s: {"log_seq": w.enterprise.state.seq + 1}),
    "newer record": (Code.RECORD_BEHIND, lambda w, s: {"record_revision": 2}),
    "without the seed": (Code.OFFER_BROKEN, lambda w, s: {"seed": bytes(32)}),
    "no path in common": (Code.PATH_FORBIDDEN, lambda w, s: {"offer": Offer(("pigeon",), b"")}),
    "a kind twice": (
        Code.OFFER_BROKEN,
        lambda w, s: {"offer": Offer(("memory", "memory"), b"")},
    ),
    "too many kinds": (
        Code.OFFER_BROKEN,
        lambda w, s: {"offer": Offer(tuple(f"k{n}" for n in range(9)), b"")},
    ),
    "past the last generation": (
        Code.OFFER_BROKEN,
        lambda w, s: {
            "parameters": PathParameters(s.command.conversation, 65535),
            "offer": Offer(("relay", "memory"), b""),
        },
    ),
}


@pytest.mark.parametrize("name", PASSING)
async def test_a_changed_command_is_refused_and_the_tunnel_stays(world: World, name: str) -> None:
    """What is wrong with a command says nothing against the tunnel; the next good one is accepted."""
    code, change = PASSING[name]
    running = await world.service()
    start = await started(running)
    changes = change(world, start)
    person = changes.pop("person", None)
    if person is not None:
        changes = {
            "action": "tunnel.path",
            "parameters": PathParameters(start.command.conversation, 9),
        }
        refused = await running.ask(world.command(person, **changes))
    else:
        refused = await running.ask(world.path_command(start, **changes))

    assert (refused.accepted, refused.code) == (False, code)
    event = world.journal.events[-1]
    assert isinstance(event, CommandRefused)
    assert event.code == code
    assert (await running.ask(world.path_command(start))).accepted
    await close(running)


async def test_carriers_for_a_live_group_are_refused_without_room(world: World) -> None:
    """A path of its own, as after an interruption, is not."""
    running = await world.service(limits=StartLimits(tunnels=1))
    start = await started(running)
    wider = PathParameters(start.command.conversation, 100, 1)

    refused = await running.ask(world.path_command(start, parameters=wider))

    assert (refused.accepted, refused.code) == (False, Code.LIMIT_REACHED)
    assert (await running.ask(world.path_command(start))).accepted
    await close(running)


ENDING: dict[str, tuple[Code, Callable[[World], object]]] = {
    "left the role": (
        Code.POLICY_MISSING,
        lambda w: w.enterprise.revoke(Kind.MEMBERSHIP, w.launchers, w.bob.user),
    ),
    "share revoked": (
        Code.ACCESS_MISSING,
        lambda w: w.enterprise.revoke(Kind.ACCESS, w.folder, w.bob.user),
    ),
    "application's share revoked": (
        Code.ACCESS_MISSING,
        lambda w: w.enterprise.revoke(Kind.ACCESS, w.folder, w.application),
    ),
    "tunneling off": (
        Code.TUNNELING_OFF,
        lambda w: w.configure(w.configuration, ConfigurationSettings(w.gateway, tunneling="off")),
    ),
    "tunnel disabled": (
        Code.TUNNEL_DISABLED,
        lambda w: w.configure(w.record, ResourceSettings(configuration=w.configuration.uid)),
    ),
    "record gone": (Code.RECORD_UNKNOWN, lambda w: w.records.pop(w.record.uid)),
    "record leads elsewhere": (
        Code.TARGET_OVERRIDE,
        lambda w: w.edit(w.record, database("127.0.0.1", 6000)),
    ),
}


@pytest.mark.parametrize("name", ENDING)
async def test_who_may_not_start_it_any_more_loses_the_tunnel(world: World, name: str) -> None:
    """Every right is asked for again: the refusal has its code, and ends the tunnel for good."""
    code, change = ENDING[name]
    running = await world.service()
    start = await started(running)
    change(world)
    await running.follower.catch_up()

    refused = await running.ask(world.path_command(start, record=world.record.uid))

    assert (refused.accepted, refused.code) == (False, code)
    killed = [event for event in world.journal.events if isinstance(event, TunnelKilled)]
    assert [event.code for event in killed] == [code]
    again = await running.ask(world.path_command(start, record=world.record.uid))
    assert again.code == code
    await close(running)


async def test_a_server_that_is_away_ends_nothing(world: World) -> None:
    """The record can't be read: refused for now, and accepted once it can."""
    running = await world.service()
    start = await started(running)
    world.server.is_down = True

    assert (await running.ask(world.path_command(start))).code == Code.RECORDS_UNAVAILABLE

    world.server.is_down = False
    assert (await running.ask(world.path_command(start))).accepted
    await close(running)


async def test_a_restarted_gateway_says_that_it_knows_no_such_tunnel(world: World) -> None:
    """The tunnel ended with the process before; the client is told so at once."""
    before = await world.service()
    start = await started(before)
    await close(before)

    after = await world.service()

    assert (await after.ask(world.path_command(start))).code == Code.CONVERSATION_UNKNOWN


async def test_who_comes_back_for_a_tunnel_that_ended_is_told_why(world: World) -> None:
    """Its own device is; anybody else gets the answer for tunnels that never were."""
    running = await world.service()
    start = await started(running)
    await running.service.sessions.close_all(CloseCode.IDLE, "nobody used it")

    own = await running.ask(world.path_command(start))
    parameters = PathParameters(start.command.conversation, 9)
    foreign = await running.ask(
        world.command(world.alice, action="tunnel.path", parameters=parameters)
    )

    assert own.code == foreign.code == Code.CONVERSATION_UNKNOWN
    assert own.reason == "the tunnel ended here: idle, nobody used it"
    assert "not open here" in foreign.reason


async def test_paths_of_one_tunnel_are_limited(world: World) -> None:
    """Past the burst the tunnel waits; another one of the same user does not."""
    running = await world.service()
    start, other = await started(running), await started(running)
    for _ in range(int(PATHS_BURST)):
        assert (await running.ask(world.path_command(start))).accepted

    assert (await running.ask(world.path_command(start))).code == Code.LIMIT_REACHED
    assert (await running.ask(world.path_command(other))).accepted

    world.clock.advance(1.0)
    assert (await running.ask(world.path_command(start))).accepted
    await close(running)


async def test_a_command_for_a_path_counts_once(world: World) -> None:
    """The same bytes again are command-replayed, and do nothing."""
    running = await world.service()
    asked = world.path_command(await started(running))

    assert (await running.ask(asked)).accepted
    assert (await running.ask(asked)).code == Code.COMMAND_REPLAYED
    await close(running)


async def test_attempts_that_nobody_came_for_are_given_up(world: World) -> None:
    """A client that asks once more has given the oldest up: few are kept, and its path is closed."""
    running = await world.service()
    start = await started(running)
    asked = [world.path_command(start) for _ in range(MAX_ATTEMPTS + 2)]

    for one in asked:
        assert (await running.ask(one)).accepted

    session = running.service.sessions.all()[0]
    assert len(session.attempts) == MAX_ATTEMPTS
    oldest = TunnelEnd("client", asked[0].keys, limits=TunnelLimits(hello_s=1.0))
    with pytest.raises(CommanderError):
        await oldest.attach(world.kinds.client_ends[asked[0].command.conversation])
    await close(running)
