from __future__ import annotations

import asyncio

from commander.authority.refusals import Code
from commander.gateway.limits import StartLimits
from commander.tunnel.codes import CloseCode
from tests.support.gateway_world import World


async def test_starts_under_way_count_against_the_limits(world: World) -> None:
    """Two at once at a limit of one: one is opened, however their steps interleave."""
    running = await world.service(limits=StartLimits(tunnels=10, tunnels_per_user=1))

    replies = await asyncio.gather(
        *(running.ask(world.command()) for _ in range(4)), return_exceptions=False
    )

    assert sorted(reply.code for reply in replies) == ["", *[Code.LIMIT_REACHED] * 3]
    assert len(running.service.sessions) == 1
    await running.service.sessions.close_all(CloseCode.STOPPED, "end of test")


async def test_one_conversation_begins_one_tunnel(world: World) -> None:
    """Two commands that name the same conversation, at the same time: the second is refused."""
    running = await world.service()
    one = world.command()
    two = world.command(conversation=one.command.conversation, secret=one.command.secret,
                        offer=one.command.offer)  # fmt: skip

    replies = await asyncio.gather(running.ask(one), running.ask(two))

    assert sorted(reply.code for reply in replies) == ["", Code.COMMAND_REPLAYED]
    await running.service.sessions.close_all(CloseCode.STOPPED, "end of test")
