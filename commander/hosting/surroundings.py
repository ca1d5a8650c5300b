"""
Tells when paths may have broken without a sign: after sleep, and when addresses or routes change.

On Linux the kernel tells of addresses and routes (rtnetlink(7)); elsewhere, and where that is
forbidden, the addresses this machine would send from are looked at every few seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import sys
import time
from typing import Protocol

from commander.clock import Clock
from commander.hosting.sleep import TICK_S, SleepWatch
from commander.tasks import cancel_and_wait, spawn

POLL_S = 5.0
SETTLE_S = 0.3
"""An interface that comes up tells of it in many messages."""
# linux/rtnetlink.h: RTMGRP_LINK, RTMGRP_IPV4_IFADDR, _IPV4_ROUTE, _IPV6_IFADDR, _IPV6_ROUTE.
_GROUPS = 0x1 | 0x10 | 0x40 | 0x100 | 0x400
AGAIN_S = 1.0
"""Between two looks: a machine on which interfaces come and go all the time is not tested all the time."""
_READ_BYTES = 64 * 1024
_MAX_READS = 64
# RFC 5737 and RFC 3849: addresses for documentation. Connecting a UDP socket sends nothing.
_ANYWHERE = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))
_log = logging.getLogger(__name__)


class Changed(Protocol):
    """Is told why paths should be tested; `is_moved` when the machine slept or sends from elsewhere."""

    def __call__(self, why: str, *, is_moved: bool) -> None:
        """Must return at once."""
        ...


class Surroundings:
    """Watches between `start` and `close`."""

    def __init__(self, changed: Changed, clock: Clock) -> None:
        self._changed = changed
        self._clock = clock
        self._addresses: tuple[str, ...] = ()
        self._task: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        self._looked_at = 0.0

    def start(self) -> None:
        """Begin; nothing when it has begun."""
        if self._task is None:
            self._addresses = outbound_addresses()
            self._task = spawn(self._run(), name="surroundings")

    async def close(self) -> None:
        """Stop; idempotent."""
        task, self._task = self._task, None
        await cancel_and_wait(task)

    async def _run(self) -> None:
        with contextlib.closing(_RouteNews(self._news)) as news:
            watch = SleepWatch(self._clock.monotonic(), self._going_on())
            look_at = watch.monotonic + POLL_S
            while True:
                is_told = await self._wait_for_news()
                why = watch.tick(self._clock.monotonic(), self._going_on())
                if why:
                    self._addresses = outbound_addresses()
                    self._changed(why, is_moved=True)
                elif is_told or (not news.is_open and watch.monotonic >= look_at):
                    look_at = watch.monotonic + POLL_S
                    self._look(is_told=is_told)

    async def _wait_for_news(self) -> bool:
        try:
            async with asyncio.timeout(TICK_S):
                await self._news.wait()
        except TimeoutError:
            return False
        now = self._clock.monotonic()
        await asyncio.sleep(max(SETTLE_S, self._looked_at + AGAIN_S - now))
        self._looked_at = self._clock.monotonic()
        self._news.clear()
        return True

    def _going_on(self) -> float:
        """A clock that goes on while the machine sleeps."""
        known: int | None = getattr(time, "CLOCK_BOOTTIME", None)
        return self._clock.now() if known is None else time.clock_gettime(known)

    def _look(self, *, is_told: bool) -> None:
        before, self._addresses = self._addresses, outbound_addresses()
        if self._addresses != before:
            now = " and ".join(self._addresses) or "nowhere"
            self._changed(f"this machine sends from {now} now", is_moved=True)
        elif is_told:
            self._changed("addresses or routes of this machine changed", is_moved=False)


class _RouteNews:
    """A socket on which the kernel tells of changes; `is_open` False where there is none."""

    def __init__(self, news: asyncio.Event) -> None:
        self._news = news
        self._socket: socket.socket | None = None
        if sys.platform != "linux":
            return
        found = None
        try:
            found = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
            found.setblocking(False)
            found.bind((0, _GROUPS))
            asyncio.get_running_loop().add_reader(found, self._read)
        except OSError as error:
            _log.info("the kernel tells nothing of addresses here: %s", error)
            if found is not None:
                found.close()
            return
        self._socket = found

    @property
    def is_open(self) -> bool:
        return self._socket is not None

    def close(self) -> None:
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    def _read(self) -> None:
        """Which change it was does not matter: what is said is thrown away."""
        self._news.set()
        assert self._socket is not None
        # An overrun (ENOBUFS) is news like any other.
        with contextlib.suppress(OSError):
            for _ in range(_MAX_READS):
                self._socket.recv(_READ_BYTES)


def outbound_addresses() -> tuple[str, ...]:
    """The addresses this machine would send from, one a family; empty without any route."""
    found = []
    for family, anywhere in _ANYWHERE:
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((anywhere, 9))
            found.append(str(probe.getsockname()[0]))
    return tuple(found)
