from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any, Final, Protocol

from commander.clock import Clock
from commander.errors import CommanderError, TimedOut, Unreachable
from commander.tasks import cancel_and_wait, spawn
from commander.tunnel import frames
from commander.tunnel.codes import CloseCode, Role
from commander.tunnel.events import Entry
from commander.tunnel.keys import ConversationKeys
from commander.tunnel.link import Link
from commander.tunnel.narrow import Narrowness, has_lost
from commander.tunnel.path import Binding, CountedPath, Path
from commander.tunnel.reports import LinkReport, TunnelEvents, TunnelLimits

MAX_LINKS: Final = 32
"""Links at once, those that come up included; a path takes a few, a hand-over twice as many."""
RETIRE_S: Final = 2.0
_HEARTBEAT_BYTES: Final = 512
"""What a link moves between two heartbeats of an idle tunnel, and more."""
_BULK_BYTES: Final = 256 * 1024
"""Between two heartbeats; less is not worth a look at what is lost."""
REPLACED: Final = "replaced"
REST_BEATS: Final = 5
"""Heartbeats between two signs of life of a carrier that nothing uses."""


class CarriageOwner(Protocol):
    """What the links of a tunnel tell the tunnel."""

    def lanes_changed(self) -> None:
        """Another set of links carries the streams; `Carriage.senders` has it."""
        ...

    def entries_lost(self, entries: list[Entry]) -> None:
        """What these held must be sent again."""
        ...

    def message(self, link: Link, message: bytes) -> None:
        """One opened message came."""
        ...

    def flush(self) -> None:
        """Send what waits, as far as the links take it."""
        ...

    def gave_up(self, code: CloseCode, reason: str) -> None:
        """No link came back in time, or the peer broke a rule."""
        ...


class Carriage:
    """
    The links under one end of a tunnel: which live, which carry, and what their loss means.

    Of the groups of links one is preferred: `senders` are its live links, the leading one first.
    A client chooses it and tells the gateway; when no link of it lives, the newest live group
    takes over at both ends by itself. Without any live link the tunnel is interrupted: it
    waits for another link for `limits.resume_s`, or `gone_s` after the far end's host closed the
    last one, and then gives up.
    """

    def __init__(
        self,
        role: Role,
        keys: ConversationKeys,
        *,
        limits: TunnelLimits,
        events: TunnelEvents,
        clock: Clock,
        owner: CarriageOwner,
    ) -> None:
        self.since = 0.0
        """When the first link was verified, in seconds since 1970; 0 before."""
        self.senders: list[Link] = []
        self.talkers: set[Link] = set()
        """Links that have something to say of themselves, whether they carry streams or not."""
        self._role = role
        self._keys = keys
        self._limits = limits
        self._events = events
        self._clock = clock
        self._owner = owner
        self._links: dict[int, Link] = {}
        self._coming = 0
        self._wanted: int | None = None
        self._abandoned: list[int] = []
        self._interrupted_at: float | None = None
        self._give_up: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_closed = False
        self._changed = asyncio.Event()
        self._beat_at = 0.0
        self.is_lossy = False
        """Whether what carries is long and has lost something, as far as the kernel tells."""
        self._narrowness = Narrowness()
        self._looked_at_bytes = 0

    # --- coming up -------------------------------------------------------------------------

    async def attach(
        self,
        path: Path,
        binding: Binding,
        *,
        generation: int,
        keys: ConversationKeys | None,
        group: int,
    ) -> None:
        """Run HELLO on a path and let it carry; see `TunnelEnd.attach`."""
        if self._is_closed or generation in self._links or self._count() >= MAX_LINKS:
            await path.close("not needed")
            raise Unreachable(f"the tunnel takes no path as generation {generation}")
        link = Link(
            self._role, keys or self._keys, path, binding, generation, self._clock, self, group=group
        )  # fmt: skip
        self._coming += 1
        try:
            link.begin()
            async with asyncio.timeout(self._limits.hello_s):
                await link.verified
        except TimeoutError:
            await self._refuse(link, "hello timed out")
            raise TimedOut(
                f"the other end did not prove itself within {self._limits.hello_s:g} s"
            ) from None
        except (CommanderError, asyncio.CancelledError):
            await self._refuse(link, "hello failed")
            raise
        finally:
            self._coming -= 1

    def _count(self) -> int:
        return len(self._links) + self._coming

    async def _refuse(self, link: Link, reason: str) -> None:
        if self._links.get(link.generation) is link:
            self._remove(link, reason, gone=False)
        link.abandon()
        await link.path.close(reason)

    def link_verified(self, link: Link) -> bool:
        """Let a link carry streams, if its group is wanted or there is no other."""
        if self._is_closed or link.generation in self._links:
            link.abandon()
            return False
        self._links[link.generation] = link
        self.since = self.since or self._clock.now()
        self._beat_at = self._clock.monotonic()
        self._events.path_up(link.path.kind, link.generation)
        if not self.senders:
            self._wanted = link.group
        self._choose_senders()
        self._end_interruption(link)
        self._owner.flush()
        return True

    # --- choosing --------------------------------------------------------------------------

    @property
    def wanted_link(self) -> int | None:
        """Generation of the leading link, which a client names to the gateway."""
        return self.senders[0].generation if self.senders else None

    def prefer(self, group: int) -> None:
        """Let a group carry; without effect while none of its links lives."""
        if any(link.group == group and link.takes_bytes for link in self._links.values()):
            self._wanted = group
            self._choose_senders()
            self._owner.flush()

    def prefer_link(self, generation: int) -> None:
        """Do what the client asked for: send on that link and its group, if it lives here."""
        link = self._links.get(generation)
        if link is not None:
            self.prefer(link.group)

    def _choose_senders(self) -> None:
        able = [link for link in self._links.values() if link.takes_bytes]
        if able and all(link.group != self._wanted for link in able):
            self._wanted = able[-1].group
        before = self.senders
        self.senders = [link for link in able if link.group == self._wanted]
        if self.senders[:1] != before[:1]:
            self._narrowness = Narrowness()
        if self.senders != before:
            self._owner.lanes_changed()

    async def retire(self, group: int) -> None:
        """
        Replace a group without a gap: send nothing more there, say farewell, close it.

        Returns once both ends have left and everything is confirmed; after 2 s what is not is
        sent on the others. Without effect on the only live group.
        """
        leaving = [link for link in self._links.values() if link.group == group]
        if all(link in leaving for link in self._links.values() if link.takes_bytes):
            return
        for link in leaving:
            link.leave()
        self._choose_senders()
        self._owner.flush()
        await self._wait_while(lambda: any(map(self._is_leaving, leaving)), RETIRE_S)
        for link in leaving:
            self._drop(link, REPLACED)
        await self._settle()

    def _is_leaving(self, link: Link) -> bool:
        return self._links.get(link.generation) is link and not link.has_left

    # --- losing ----------------------------------------------------------------------------

    def link_lost(self, link: Link, reason: str, *, gone: bool) -> None:
        """Send what was on its way on the links that are left, or wait for another."""
        if self._links.get(link.generation) is link:
            self._remove(link, REPLACED if link.is_leaving else reason, gone=gone)
        self._later(link.path.close(reason))

    def drop_link(self, generation: int, reason: str) -> None:
        """The peer has dropped a link: it is of no use here either."""
        link = self._links.get(generation)
        if link is not None:
            self._drop(link, reason)

    def _drop(self, link: Link, reason: str, *, tell: bool = False) -> None:
        link.abandon()
        if self._links.get(link.generation) is link:
            if tell:
                self._abandoned.append(link.generation)
                del self._abandoned[:-MAX_LINKS]
            self._remove(link, reason, gone=False)
        self._later(link.path.close(reason))

    def _remove(self, link: Link, reason: str, *, gone: bool) -> None:
        del self._links[link.generation]
        self._changed.set()
        entries = link.unconfirmed()
        self._events.path_lost(link.path.kind, reason)
        self._choose_senders()
        if not self._is_closed:
            self._owner.entries_lost(entries)
            if self._links:
                self._owner.flush()
            else:
                self._interrupt(reason, gone=gone)

    def take_abandoned(self) -> list[int]:
        """Links that were dropped here and that the peer has not been told of."""
        abandoned, self._abandoned = self._abandoned, []
        return abandoned

    # --- interrupted -----------------------------------------------------------------------

    @property
    def is_interrupted(self) -> bool:
        """Whether no link lives, after one did."""
        return self._interrupted_at is not None

    def interrupted_for(self) -> float:
        """Seconds without a link; 0 while one lives."""
        at = self._interrupted_at
        return 0.0 if at is None else self._clock.monotonic() - at

    def _interrupt(self, reason: str, *, gone: bool) -> None:
        limits = self._limits
        wait_s = limits.resume_s
        if gone and self._role is Role.GATEWAY:
            wait_s = min(limits.gone_s, wait_s)
        if wait_s <= 0:
            self._owner.gave_up(CloseCode.PATH_LOST, reason)
            return
        self._interrupted_at = self._clock.monotonic()
        loop = asyncio.get_running_loop()
        self._give_up = loop.call_later(
            wait_s, self._owner.gave_up, CloseCode.PATH_LOST,
            f"{reason}; nothing came back in {wait_s:g} s",
        )  # fmt: skip
        self._events.tunnel_interrupted(reason, gone=gone)

    def _end_interruption(self, link: Link) -> None:
        if self._interrupted_at is None:
            return
        after_s = self.interrupted_for()
        self._interrupted_at = None
        if self._give_up is not None:
            self._give_up.cancel()
        self._events.tunnel_resumed(link.path.kind, after_s)

    # --- heartbeat -------------------------------------------------------------------------

    def beat(self) -> None:
        """Give up links that are silent, and ask the others for a sign of life."""
        now = self._clock.monotonic()
        self._look_for_losses(now)
        slept = now - self._beat_at > 2 * self._limits.heartbeat_s
        self._beat_at = now
        leading = {x.group: x for x in reversed(self._links.values()) if x.takes_bytes}
        for link in list(self._links.values()):
            link.renew_key()
            if slept:
                # We slept, not the peer: what it sent meanwhile may still wait to be read.
                link.heard_at = now
            first = leading.get(link.group, link)
            if link is not first and self._may_rest(link, first, now):
                link.rests = True
                continue
            # The silence of its path's first is that of all.
            link.wake(first.heard_at if self._is_silent(first, now) else now)
            if now - link.heard_at > self._limits.dead_after_s:
                self._drop(link, f"no sign of life for {self._limits.dead_after_s:g} s", tell=True)
                continue
            link.tell_progress(step=1)
            # A client's pings are signs of life in both directions: a gateway with a thousand
            # tunnels asks only where they stay away.
            if self._role is Role.CLIENT or self._is_silent(link, now):
                link.ping()

    def _look_for_losses(self, now: float) -> None:
        bytes_now = sum(link.received_bytes + link.sent_bytes for link in self.senders)
        moved = abs(bytes_now - self._looked_at_bytes)
        self._looked_at_bytes = bytes_now
        if moved <= _HEARTBEAT_BYTES * len(self.senders):
            self._narrowness.forget()
            return
        counts = {}
        for link in self.senders:
            found = link.path.tcp_counts() if isinstance(link.path, CountedPath) else None
            if found is not None:
                counts[link.generation] = found
        self.is_lossy = any(map(has_lost, counts.values()))
        if self._role is Role.GATEWAY:
            # The client alone asks for more carriers.
            return
        if moved < _BULK_BYTES:
            self._narrowness.forget()
        elif self._narrowness.look(counts, now):
            self._events.path_narrow(self.senders[0].path.kind, self.senders[0].group)

    def _is_silent(self, link: Link, now: float) -> bool:
        return now - link.heard_at > 1.5 * self._limits.heartbeat_s

    def _may_rest(self, link: Link, first: Link, now: float) -> bool:
        """
        Whether a carrier may be left alone while its path's first gives signs of life.

        Four heartbeats for each of a thousand idle tunnels would be a seventh of a core at either
        end. What is sent on it is watched from then on, as on any other.
        """
        is_known = self._role is Role.GATEWAY or link.rtt_s is not None
        is_heard = now - link.heard_at < REST_BEATS * self._limits.heartbeat_s
        is_heard = is_heard and not self._is_silent(first, now)
        return is_known and is_heard and link.is_quiet and link.takes_bytes

    async def probe(self, deadline_s: float) -> bool:
        """
        Ask every link for a sign of life now and drop those that give none within `deadline_s`.

        Returns whether any link is left. For moments at which a network may have changed.
        """
        asked = {link: self._clock.monotonic() for link in self._links.values()}
        for link in asked:
            link.ping()
        self._owner.flush()
        await self._wait_while(lambda: bool(self._silent(asked)), deadline_s)
        for link in self._silent(asked):
            self._drop(link, f"no answer within {deadline_s:g} s", tell=True)
        return bool(self._links)

    async def _wait_while(self, condition: Callable[[], bool], timeout_s: float) -> None:
        """Return when a message or a loss has made the condition false, or after the time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while condition():
                    self._changed.clear()
                    await self._changed.wait()

    def _silent(self, asked: dict[Link, float]) -> list[Link]:
        return [
            link for link, at in asked.items()
            if self._links.get(link.generation) is link and link.heard_at <= at
        ]  # fmt: skip

    # --- messages --------------------------------------------------------------------------

    def link_message(self, link: Link, message: bytes) -> None:
        """Pass an opened message on."""
        self._owner.message(link, message)
        self._changed.set()

    def link_talks(self, link: Link) -> None:
        """Remember to ask it."""
        self.talkers.add(link)

    def link_ready(self, link: Link) -> None:
        """The path takes messages again."""
        self._owner.flush()

    def take(
        self, link: Link, frame: frames.Ping | frames.Pong | frames.Progress | frames.Bye
    ) -> None:
        """Handle a frame of a link."""
        if not link.take(frame):
            self._owner.gave_up(CloseCode.PROTOCOL_ERROR, "a progress report cannot be true")
        elif isinstance(frame, frames.Bye):
            self._choose_senders()

    # --- the end ---------------------------------------------------------------------------

    def close(self, farewell: bytes, reason: str) -> None:
        """End all links, each with a last message; `settled` waits for their paths."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._give_up is not None:
            self._give_up.cancel()
        links, self._links, self.senders = list(self._links.values()), {}, []
        for link in links:
            if farewell and not link.is_over:
                link.send(farewell)
            link.abandon()
            self._later(link.path.close(reason))

    async def settled(self, timeout_s: float) -> None:
        """Wait until every path that was given up has closed, at most so long."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_s)
            await cancel_and_wait(*self._tasks)

    async def _settle(self) -> None:
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=self._limits.close_s)

    def _later(self, closing: Coroutine[Any, Any, None]) -> None:
        task = spawn(closing, name="tunnel-path-close")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- reports ---------------------------------------------------------------------------

    def reports(self) -> tuple[LinkReport, ...]:
        """Every live link."""
        return tuple(
            LinkReport(
                kind=link.path.kind,
                generation=link.generation,
                group=link.group,
                rtt_s=link.rtt_s,
                since=link.since,
                bytes_in=link.received_bytes,
                bytes_out=link.sent_bytes,
                is_preferred=link in self.senders,
            )
            for link in self._links.values()
        )
