from __future__ import annotations

import asyncio
from collections.abc import Callable

from commander.hosting.gates import (
    ASK_EVERY_S,
    CROWD,
    CROWD_INTERRUPTED,
    OTHERS_AT_ONCE,
    URGENT_AT_ONCE,
    Gates,
)
from tests.attack.virtual_loop import LoopClock, VirtualLoop, run_virtually

TUNNELS = 500


class Gateway:
    """A gateway that is asked; `is_offline` is what the router answers, at once."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.gates = Gates(LoopClock(loop))
        self.is_offline = False
        self.asked: list[float] = []
        self.running = 0
        self.most = 0
        self.back: list[float] = []
        self.told = 0

    async def come_back(self, loop: VirtualLoop) -> None:
        """A tunnel that asks until it is answered."""
        while True:
            async with self.gates.turn("gateway", is_urgent=True, offline=self._tell):
                self.asked.append(loop.time())
                await self._work()
                self.gates.heard("gateway", is_offline=self.is_offline)
                if not self.is_offline:
                    self.back.append(loop.time())
                    return

    async def _work(self) -> None:
        self.running += 1
        self.most = max(self.most, self.running)
        await asyncio.sleep(0.01)
        self.running -= 1

    def _tell(self) -> None:
        self.told += 1


def run(work: Callable[[VirtualLoop, Gateway], object]) -> None:
    """Run with a gateway in virtual time."""

    async def start(loop: VirtualLoop) -> None:
        done = work(loop, Gateway(loop))
        assert asyncio.iscoroutine(done)
        await done

    run_virtually(start)


def test_one_tunnel_asks_for_a_gateway_that_is_offline() -> None:
    """Twice a second however many wait; all of them hear of it, and all are back soon after it is."""

    async def work(loop: VirtualLoop, gateway: Gateway) -> None:
        gateway.is_offline = True
        tunnels = [asyncio.create_task(gateway.come_back(loop)) for _ in range(TUNNELS)]
        await asyncio.sleep(60)
        asked, gateway.is_offline = len(gateway.asked), False
        begun = loop.time()
        await asyncio.gather(*tunnels)

        assert asked <= URGENT_AT_ONCE + 60 / ASK_EVERY_S + 1
        assert gateway.told >= TUNNELS - URGENT_AT_ONCE
        assert max(gateway.back) - begun <= 2 * ASK_EVERY_S + TUNNELS * 0.01 / URGENT_AT_ONCE
        assert gateway.most <= URGENT_AT_ONCE

    run(work)


def test_a_scout_that_is_given_up_is_followed_by_another() -> None:
    """Its tunnel ended while it asked: the others do not wait for ever."""

    async def work(loop: VirtualLoop, gateway: Gateway) -> None:
        gateway.gates.heard("gateway", is_offline=True)
        scout = asyncio.create_task(gateway.come_back(loop))
        await asyncio.sleep(0.1)
        other = asyncio.create_task(gateway.come_back(loop))
        await asyncio.sleep(0.1)
        scout.cancel()

        await asyncio.wait_for(other, 5)
        assert len(gateway.asked) == 1

    run(work)


def test_who_looks_for_something_better_does_not_take_the_turns_of_those_without() -> None:
    """Both have their own number of turns."""

    async def work(loop: VirtualLoop, gateway: Gateway) -> None:
        async def look() -> None:
            async with gateway.gates.turn("gateway", is_urgent=False, offline=lambda: None):
                await asyncio.sleep(3600)

        looking = [asyncio.create_task(look()) for _ in range(OTHERS_AT_ONCE + 5)]
        await asyncio.sleep(1)

        await asyncio.wait_for(gateway.come_back(loop), 1)
        for task in looking:
            task.cancel()
        await asyncio.gather(*looking, return_exceptions=True)

    run(work)


def test_gateways_do_not_wait_for_each_other() -> None:
    """One that is offline holds back nobody who asks for another."""

    async def work(loop: VirtualLoop, gateway: Gateway) -> None:
        gateway.gates.heard("elsewhere", is_offline=True)

        await asyncio.wait_for(gateway.come_back(loop), 1)

    run(work)


def test_many_tunnels_are_a_crowd_and_fewer_are_when_they_have_no_path() -> None:
    """What bounds WebRTC, which costs a process megabytes and milliseconds for each."""

    async def work(loop: VirtualLoop, gateway: Gateway) -> None:
        gates = gateway.gates
        gates.tunnels.update(range(CROWD))
        gates.interrupted.update(range(CROWD_INTERRUPTED))
        seen = [gates.is_crowded]
        gates.interrupted.add("one more")
        seen.append(gates.is_crowded)
        gates.interrupted.clear()
        gates.tunnels.add("one more")
        seen.append(gates.is_crowded)

        assert seen == [False, True, True]

    run(work)
