from __future__ import annotations

import pytest

from commander.authority.refusals import Code
from commander.codec import decode
from commander.errors import Refused
from commander.gateway.commands import Genuine
from commander.gateway.judging import Judge, Plan
from commander.gateway.offers import open_offer, prepare_paths
from commander.tunnel.path import Binding, Path
from commander.tunnel.transports.memory import memory_paths
from commander.wire.commands import Offer, OfferAnswer, TunnelParameters
from tests.support.gateway_world import Asked, World


class KindPlan:
    """A kind that answers with its name, and counts."""

    def __init__(self, kind: str) -> None:
        self.answer = kind.encode()
        self.made: list[int] = []
        self.closed = 0

    async def make(self, carrier: int) -> tuple[Path, Binding]:
        self.made.append(carrier)
        return memory_paths()[0], Binding()

    async def close(self) -> None:
        self.closed += 1


class Kinds:
    """Three kinds, of which some offers may not hold."""

    supported = ("relay", "direct", "webrtc")

    def __init__(self, *, broken: tuple[str, ...] = ()) -> None:
        self.broken = broken
        self.plans: dict[str, KindPlan] = {}

    async def prepare(self, kind: str, conversation: str, offer: Offer) -> KindPlan:
        if kind in self.broken:
            raise Refused("does not hold", code=Code.OFFER_BROKEN)
        plan = self.plans[kind] = KindPlan(kind)
        return plan


async def planned(world: World, offer: Offer) -> tuple[Asked, Plan]:
    """A judged command with an offer."""
    running = await world.service()
    asked = world.command(offer=offer)
    judge = Judge(
        world.gateway,
        follower=running.follower,
        reader=world.reader(running.follower),
        clock=world.clock,
    )
    genuine = Genuine(asked.command, TunnelParameters("", 0, "", ""), world.bob.user)
    return asked, await judge.judge(genuine)


async def test_carriers_are_numbered_by_the_offer(world: World) -> None:
    """Kinds that the gateway leaves out keep their numbers; the first of a kind is its group."""
    asked, plan = await planned(world, Offer(("pigeon", "direct", "relay"), b"", b"d"))
    kinds = Kinds()

    opened = open_offer(plan)
    prepared = await prepare_paths(kinds, plan, opened, 10)

    assert [(c.kind, c.generation, c.group) for c in prepared.carriers] == [
        ("direct", 11, 11), ("direct", 12, 11), ("direct", 13, 11), ("direct", 14, 11),
        ("relay", 15, 15),
    ]  # fmt: skip
    for carrier in prepared.carriers:
        path, _ = await carrier.make()
        await path.close()
    assert kinds.plans["direct"].made == [0, 1, 2, 3]
    answer = decode(OfferAnswer, asked.signalling.open(prepared.answer(opened, "db:5432")))
    assert answer == OfferAnswer(("direct", "relay"), b"", "db:5432", b"direct")


async def test_carriers_may_join_a_group_that_lives(world: World) -> None:
    """Numbers of their own, and one of them for the audit log."""
    _, plan = await planned(world, Offer(("direct",), b"", b"d"))

    prepared = await prepare_paths(Kinds(), plan, open_offer(plan), 10, group=3)

    assert [(c.generation, c.group, c.is_first) for c in prepared.carriers] == [
        (10, 3, True), (11, 3, False), (12, 3, False), (13, 3, False),
    ]  # fmt: skip
    await prepared.close()


async def test_a_kind_that_does_not_hold_is_left_out(world: World) -> None:
    """One bad part costs its own kind; with nothing left, it is the refusal."""
    _, plan = await planned(world, Offer(("webrtc", "relay"), b"nonsense"))
    opened = open_offer(plan)

    prepared = await prepare_paths(Kinds(broken=("webrtc",)), plan, opened, 1)

    assert [(c.kind, c.generation) for c in prepared.carriers] == [("relay", 2)]
    with pytest.raises(Refused) as caught:
        await prepare_paths(Kinds(broken=("webrtc", "relay")), plan, opened, 1)
    assert caught.value.code == Code.OFFER_BROKEN


async def test_an_attempt_is_given_up_as_a_whole(world: World) -> None:
    """Closing closes every kind."""
    _, plan = await planned(world, Offer(("direct", "relay"), b"", b"d"))
    kinds = Kinds()
    prepared = await prepare_paths(kinds, plan, open_offer(plan), 1)

    await prepared.close()

    assert [plan.closed for plan in kinds.plans.values()] == [1, 1]
