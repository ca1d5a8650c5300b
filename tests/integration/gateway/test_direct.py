"""The gateway's side of direct paths, against a client's offers."""

from __future__ import annotations

import asyncio
import socket

import pytest

from commander.authority.refusals import Code
from commander.clock import ManualClock
from commander.errors import Conflict, Refused, Unreachable
from commander.gateway.direct import DirectDoor, DirectOptions
from commander.gateway.limits import CALLS_BURST
from commander.gateway.paths import NetworkPaths
from commander.tunnel.path import KIND_DIRECT, Path
from commander.tunnel.transports import direct
from commander.tunnel.transports.direct_offer import read_answer
from commander.wire.commands import Offer

pytestmark = pytest.mark.integration
CLOCK = ManualClock(0.0)


async def no_relay(conversation: str) -> Path:
    raise Unreachable("no relay here")


async def all_carriers(door: DirectDoor) -> dict[str, int]:
    """Bring one offer's carriers up; what the reception counted."""
    offering = direct.offer()
    paths = NetworkPaths(no_relay, direct=door)
    plan = await paths.prepare(KIND_DIRECT, "c", Offer((KIND_DIRECT,), b"", offering.wire))
    offering.answered(plan.answer)
    numbers = range(direct.COUNT)
    made = asyncio.gather(*(plan.make(number) for number in numbers))
    clients = await asyncio.gather(*(offering.path(number) for number in numbers))
    for path, _ in await made:
        await path.close()
    for client in clients:
        await client.close()
    await plan.close()
    await offering.close()
    return dict(door.reception.counters) if door.reception else {}


async def test_a_gateway_without_options_connects_out() -> None:
    """It listens nowhere, and the answer names no address of its own."""
    door = DirectDoor(DirectOptions(), CLOCK)
    assert await all_carriers(door) == {}
    door.close()


async def test_a_port_of_the_owner_is_named_and_used() -> None:
    """By its own address, or by what the owner advertises."""
    door = DirectDoor(DirectOptions(listen=("127.0.0.1", 0)), CLOCK)
    assert await all_carriers(door) == {"let-in": direct.COUNT}
    assert door.reception is not None
    offering = direct.offer()
    plan = door.prepare(offering.wire)
    answer = read_answer(plan.answer)
    assert (answer.host, answer.port) == ("127.0.0.1", door.reception.port)
    await plan.close()
    door.close()

    options = DirectOptions(listen=("127.0.0.1", 0), advertise=("gateway.example", 443))
    outside = DirectDoor(options, CLOCK)
    plan = outside.prepare(offering.wire)
    answer = read_answer(plan.answer)
    assert (answer.host, answer.port) == ("gateway.example", 443)
    await plan.close()
    await offering.close()
    outside.close()


async def test_direct_paths_are_not_offered_where_the_owner_forbids_them() -> None:
    """The kind is not among the supported ones; with a door that allows them it is."""
    allowed = DirectDoor(DirectOptions(), CLOCK)
    forbidden = DirectDoor(DirectOptions(is_allowed=False), CLOCK)
    assert KIND_DIRECT in NetworkPaths(no_relay, direct=allowed).supported
    assert KIND_DIRECT not in NetworkPaths(no_relay, direct=forbidden).supported
    assert KIND_DIRECT not in NetworkPaths(no_relay).supported


async def test_a_broken_offer_has_its_code() -> None:
    """The client is told with the code of every offer that does not fit."""
    door = DirectDoor(DirectOptions(), CLOCK)
    with pytest.raises(Refused) as refused:
        door.prepare(b"nonsense")
    assert refused.value.code == Code.OFFER_BROKEN


async def test_calls_of_all_tunnels_are_bounded_together() -> None:
    """Past the rate nobody is called, until time has passed."""
    clock = ManualClock(0.0)
    door = DirectDoor(DirectOptions(), clock)
    while door.may_call():
        pass
    offering = direct.offer()
    plan = door.prepare(offering.wire)
    with pytest.raises(Unreachable):
        await plan.make(0)
    await plan.close()
    await offering.close()
    assert door.calls["over-the-rate"] >= 2
    made = door.calls["made"]
    clock.advance(CALLS_BURST)
    await all_carriers(door)
    assert door.calls["made"] >= made + direct.COUNT


def test_a_taken_port_stops_the_start() -> None:
    """The owner is told at once."""

    async def open_door(port: int) -> None:
        DirectDoor(DirectOptions(listen=("127.0.0.1", port)), CLOCK)

    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(Conflict):
        asyncio.run(open_door(taken.getsockname()[1]))
