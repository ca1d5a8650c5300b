"""One attempt: the kinds of path that one command offers, brought up side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from commander.errors import CommanderError, InvalidInput, SealBroken, Unreachable
from commander.hosting.conversation import Accepted
from commander.hosting.paths import KindAttempt, PathNetwork, begin_kind
from commander.tasks import cancel_and_wait, spawn
from commander.tunnel.engine import TunnelEnd
from commander.tunnel.generations import CARRIERS, number_carriers
from commander.tunnel.path import KIND_DIRECT, KIND_TURN, KIND_WEBRTC
from commander.tunnel.seal import MAX_GENERATION
from commander.wire.commands import Offer

KindDone = Callable[[str, CommanderError | None], None]


class Attempt:
    """
    Paths being brought up under the numbers of one attempt.

    `begin` it, ask the gateway with `offer`, then `attach`. Close it when it is not needed any
    more: what carries the tunnel by then stays.
    """

    def __init__(self, kinds: Mapping[str, KindAttempt], first: int, group: int = 0) -> None:
        self.group = group
        """That the carriers join; 0: each kind has one of its own."""
        self.numbers = number_carriers(tuple(kinds), first)
        self._kinds = dict(kinds)
        self._tasks: set[asyncio.Task[Any]] = set()

    @classmethod
    async def begin(
        cls, kinds: Sequence[str], network: PathNetwork, first: int, *, group: int = 0
    ) -> Attempt:
        """
        Prepare every kind that can be offered here.

        Raises Unreachable, the last kind's reason, when none can.
        """
        begun: dict[str, KindAttempt] = {}
        error: CommanderError = Unreachable("no kind of path may be used")
        try:
            for kind in kinds:
                try:
                    begun[kind] = await begin_kind(kind, network)
                except CommanderError as caught:
                    error = caught
        except BaseException:
            for one in begun.values():
                await one.close()
            raise
        if not begun:
            raise error
        return cls(begun, first, group)

    @property
    def kinds(self) -> tuple[str, ...]:
        """What is offered."""
        return tuple(self._kinds)

    @property
    def offer(self) -> Offer:
        """What the gateway is told."""
        offers = {kind: attempt.offer for kind, attempt in self._kinds.items()}
        webrtc = offers.get(KIND_WEBRTC) or offers.get(KIND_TURN, b"")
        return Offer(self.kinds, webrtc, offers.get(KIND_DIRECT, b""))

    def attach(
        self, end: TunnelEnd, accepted: Accepted, done: KindDone | None = None
    ) -> list[asyncio.Task[None]]:
        """
        Open what the gateway accepted, all at once; one task a kind, done when the first of its
        carriers is verified and failed when none was. `done` is told of each with its error.
        """
        tasks = []
        for kind in self._kinds:
            if kind in accepted.answer.kinds:
                task = self._spawn(self._attach_kind(kind, end, accepted))
                if done is not None:
                    task.add_done_callback(partial(_tell, done, kind))
                tasks.append(task)
        return tasks

    async def settled(self) -> None:
        """Wait until every carrier is up or has failed."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    async def close(self) -> None:
        """Give up what is not up yet; idempotent."""
        await cancel_and_wait(*self._tasks)
        for kind in self._kinds.values():
            await kind.close()

    async def _attach_kind(self, kind: str, end: TunnelEnd, accepted: Accepted) -> None:
        numbers = self.numbers[kind]
        assert len(numbers) == CARRIERS.get(kind, 1)
        await first_verified(
            [
                self._spawn(self._attach_one(kind, end, accepted, index))
                for index in range(len(numbers))
            ]
        )

    async def _attach_one(self, kind: str, end: TunnelEnd, accepted: Accepted, index: int) -> None:
        path, binding = await self._kinds[kind].make(accepted, index)
        numbers = self.numbers[kind]
        group = self.group or numbers.start
        await end.attach(path, binding, generation=numbers[index], keys=accepted.keys, group=group)

    def _spawn(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = spawn(work, name="tunnel-attempt")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _tell(done: KindDone, kind: str, task: asyncio.Task[None]) -> None:
    if task.cancelled():
        return
    error = task.exception()
    if error is None or isinstance(error, CommanderError):
        done(kind, error)


async def first_verified(tasks: Sequence[asyncio.Task[None]]) -> None:
    """
    Return once one of them is done without an error; the others go on.

    Raises when none is: what says that the far end is not the gateway before what says that
    it was not reached; Unreachable for none at all.
    """
    waiting: set[asyncio.Task[None]] = set(tasks)
    error: BaseException = Unreachable("the gateway accepted no kind of path that was offered")
    while waiting:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            if task.cancelled():
                continue
            failed = task.exception()
            if failed is None:
                return
            if not isinstance(error, SealBroken | InvalidInput):
                error = failed
    raise error


def next_first(after: int, kinds: Sequence[str], in_use: Iterable[int]) -> int:
    """
    The first generation of the next attempt: `after` the last one's, and from 1 again when they
    are used up, past what is in use.
    """
    count = sum(CARRIERS.get(kind, 1) for kind in kinds)
    used = set(in_use)
    first = after
    while True:
        if first + count - 1 > MAX_GENERATION:
            first = 1
        taken = used & set(range(first, first + count))
        if not taken:
            return first
        first = max(taken) + 1
