"""
The second half of gate test T09: the router dies with many sockets open, and everybody comes back at once.

It is killed without a word and started again on the same port. Each client comes back by the back-off of
the product (`commander.api.retry`), as its own program would.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Iterator

from commander.api.retry import backoff
from commander.api.websocket import OPEN_S as PATIENCE_S
from commander.router.admission import AT_ONCE as HANDSHAKES
from tests.soak import Figure, Size
from tests.soak.measuring import percentile, telling
from tests.soak.router_process import peer
from tests.soak.websockets import Swarm, router_process, spare_memory
from tests.support.router_server import Peer
from tests.support.waiting import free_port

NAME = "storm"
SOCKETS = 10_000
FIRST = 1_000
FIRST_LIMIT_S, ALL_LIMIT_S = 10.0, 60.0
GIVE_UP_S = 600.0
COUNTED_S = 30.0
CROWD = 4 * HANDSHAKES
"""Attempts at once: four times as many as the router begins with."""


def run(size: Size) -> Iterator[Figure]:
    """Open them all, kill the router, start it again, and wait until everybody is back."""
    spare_memory(size)
    yield from asyncio.run(_run(size))


async def _run(size: Size) -> list[Figure]:
    count, first = size.of(SOCKETS, least=100), size.of(FIRST, least=10)
    rng = random.Random(9)
    peers = [peer("device", number) for number in range(count)]
    port = free_port()
    async with router_process(size.folder, count, port) as router:
        opened = await Swarm(router, size).open_many(peers)
        size.tell("all are connected; the router is killed")
        router.kill()
        async with asyncio.timeout(GIVE_UP_S):
            await asyncio.gather(*(socket.closed for _, socket in opened))
    async with router_process(size.folder, count, port) as router, Swarm(router, size) as swarm:
        crowd = _Crowd(swarm)
        coming = [
            asyncio.ensure_future(crowd.come_back(one, random.Random(rng.random())))
            for one in peers
        ]
        async with asyncio.timeout(GIVE_UP_S), telling(size, coming, "are back"):
            back = await asyncio.gather(*coming)
        # A client is connected a moment before the router has counted it.
        there = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(COUNTED_S):
                while (there := await router.sockets()) < count:
                    await asyncio.sleep(0.1)
    is_full = size.scale >= 1.0
    return [
        Figure("sockets that were cut at once", count, ""),
        Figure(
            f"the first {first} are back after", sorted(back)[first - 1], "s",
            FIRST_LIMIT_S if is_full else None,
        ),
        Figure("half of them are back after", percentile(list(back), 50), "s"),
        Figure("all are back after", max(back), "s", ALL_LIMIT_S if is_full else None),
        Figure("attempts that were given up", crowd.given_up, ""),
        Figure("sockets that did not come back", count - there, "", 0),
    ]  # fmt: skip


class _Crowd:
    """
    Everybody who comes back.

    An attempt is given up after as long as the product waits: a router that begins with everybody at
    once, and so is done with nobody in time, would never see them all.
    """

    def __init__(self, swarm: Swarm) -> None:
        self.given_up = 0
        self._swarm = swarm
        self._began = time.monotonic()
        # All clients are this one process: more at once would wait for each other, not for the router.
        self._turn = asyncio.Semaphore(CROWD)

    async def come_back(self, one: Peer, rng: random.Random) -> float:
        """Try until it is connected; seconds since the router could be reached again."""
        waits = backoff(rng)
        while True:
            await asyncio.sleep(next(waits))
            try:
                async with self._turn:
                    await self._swarm.open(one, open_s=PATIENCE_S)
            except (OSError, TimeoutError):
                self.given_up += 1
                continue
            return time.monotonic() - self._began
