"""
What bounds the attempts of all tunnels of a process.

Many tunnels lead to one gateway. While the router says that it is offline one of them asks for it,
twice a second; the others wait for the answer, and all come back together when it is there.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from commander.clock import Clock

URGENT_AT_ONCE = 32
OTHERS_AT_ONCE = 8
"""Attempts of tunnels without a path, and of those that look for a better one."""
ASK_EVERY_S = 0.5
CROWD = 32
CROWD_INTERRUPTED = 8
"""Past so many tunnels, or so many without a path, WebRTC is left out: it costs a process too much."""
MAX_GATEWAYS = 1000


class _Gateway:
    """What was heard of one gateway last."""

    def __init__(self) -> None:
        self.is_offline = False
        self.is_asked = False
        self.heard_at = 0.0
        self.news = asyncio.Condition()


class Gates:
    """Turns for attempts; one object a process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._urgent = asyncio.Semaphore(URGENT_AT_ONCE)
        self._others = asyncio.Semaphore(OTHERS_AT_ONCE)
        self._gateways: OrderedDict[str, _Gateway] = OrderedDict()
        self.tunnels: set[object] = set()
        """All tunnels of the process, and those that have no path now, by their keepers."""
        self.interrupted: set[object] = set()

    @property
    def is_crowded(self) -> bool:
        """Whether only what is light should be tried."""
        return len(self.tunnels) > CROWD or len(self.interrupted) > CROWD_INTERRUPTED

    @asynccontextmanager
    async def turn(
        self, gateway: str, *, is_urgent: bool, offline: Callable[[], None]
    ) -> AsyncIterator[None]:
        """
        Wait for a turn to ask a gateway; report with `heard` how it went, before the block ends.

        `offline` is called when somebody else was told that the gateway is offline.
        """
        found, turns = self._gateway(gateway), self._urgent if is_urgent else self._others
        while True:
            await self._wait_while_offline(found, offline)
            async with self._scouting(found) as is_scout, turns:
                # While it waited for its turn others may have been told.
                if is_scout or not found.is_offline:
                    yield
                    return

    @asynccontextmanager
    async def _scouting(self, found: _Gateway) -> AsyncIterator[bool]:
        """Be the one who asks, if the gateway is offline; tells whether one is."""
        if not found.is_offline:
            yield False
            return
        found.is_asked = True
        try:
            await asyncio.sleep(found.heard_at + ASK_EVERY_S - self._clock.monotonic())
            yield True
        finally:
            found.is_asked = False
            async with found.news:
                found.news.notify_all()

    def heard(self, gateway: str, *, is_offline: bool) -> None:
        """Note what an attempt was told."""
        found = self._gateway(gateway)
        found.is_offline, found.heard_at = is_offline, self._clock.monotonic()

    async def _wait_while_offline(self, found: _Gateway, offline: Callable[[], None]) -> None:
        async with found.news:
            while found.is_offline and found.is_asked:
                offline()
                await found.news.wait()

    def _gateway(self, uid: str) -> _Gateway:
        found = self._gateways.setdefault(uid, _Gateway())
        self._gateways.move_to_end(uid)
        while len(self._gateways) > MAX_GATEWAYS:
            self._gateways.popitem(last=False)
        return found
