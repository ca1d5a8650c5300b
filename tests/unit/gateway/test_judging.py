from __future__ import annotations

import pytest

from commander.authority.refusals import Code
from commander.authority.statements import Kind
from commander.errors import Refused
from commander.gateway.commands import Genuine
from commander.gateway.judging import Judge, enforce, what_went_off
from commander.wire.commands import TunnelParameters
from commander.wire.pam import ResourceSettings
from tests.support.gateway_world import Running, World


def judge_of(running: Running) -> Judge:
    """A judge over the world of a service."""
    world = running.world
    return Judge(
        world.gateway,
        follower=running.follower,
        reader=world.reader(running.follower),
        clock=world.clock,
    )


def genuine(world: World) -> Genuine:
    """A command of Bob's whose signature was checked."""
    return Genuine(world.command().command, TunnelParameters("", 0, "", ""), world.bob.user)


async def test_a_plan_names_everything_that_a_tunnel_rests_on(world: World) -> None:
    """Record, folder, configuration: what is judged again later."""
    running = await world.service()

    plan = await judge_of(running).judge(genuine(world))

    rights = plan.rights
    assert (rights.record, rights.folder) == (world.record.uid, world.folder)
    assert rights.configuration == world.configuration.uid
    assert judge_of(running).judge_again(rights) is None


async def test_the_same_rights_do_not_hold_at_a_later_head(world: World) -> None:
    """What was allowed is refused once the log says otherwise."""
    running = await world.service()
    judge = judge_of(running)
    rights = (await judge.judge(genuine(world))).rights
    world.enterprise.revoke(Kind.ACCESS, world.folder, world.bob.user)
    await running.follower.catch_up()

    refusal = judge.judge_again(rights)

    assert refusal is not None
    with pytest.raises(Refused) as caught:
        enforce(refusal)
    assert caught.value.code == Code.ACCESS_MISSING
    enforce(None)


async def test_records_say_what_went_off(world: World) -> None:
    """A switch, or a record that may not be used any more."""
    running = await world.service()
    record, linked = await world.reader(running.follower).read(world.record.uid)
    configuration = linked[world.configuration.uid]
    gone = Refused("gone", code=Code.RECORD_UNKNOWN)

    assert what_went_off(world.gateway, record, configuration) is None
    for found, code in (
        (what_went_off("other", record, configuration), Code.CONFIGURATION_OTHER_GATEWAY),
        (what_went_off(world.gateway, gone, configuration), Code.RECORD_UNKNOWN),
        (what_went_off(world.gateway, record, gone), Code.RECORD_UNKNOWN),
        (what_went_off(world.gateway, record, record), Code.CONFIGURATION_MISSING),
    ):
        assert found is not None
        assert found.code == code


async def test_a_resource_without_a_tunnel_went_off(world: World) -> None:
    """The first switch that is off gives the code."""
    running = await world.service()
    world.configure(world.record, ResourceSettings(configuration=world.configuration.uid))
    record, linked = await world.reader(running.follower).read(world.record.uid)

    found = what_went_off(world.gateway, record, linked[world.configuration.uid])

    assert found is not None
    assert found.code == Code.TUNNEL_DISABLED
