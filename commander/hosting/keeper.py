"""
Keeps paths under one tunnel: the ring around `keeper_plan`, one task a tunnel.

It looks when the engine or an attempt tells that something changed, or the plan's time has come;
does what the plan says; and writes each step into the tunnel's log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from commander.authority.refusals import Code
from commander.clock import Clock
from commander.errors import CommanderError, NotLoggedIn, Refused, Unreachable
from commander.hosting.attempt import Attempt, first_verified, next_first
from commander.hosting.conversation import Accepted, Position, TunnelRequest, ask_gateway
from commander.hosting.gates import Gates
from commander.hosting.journal import Value
from commander.hosting.keeper_plan import Action, Ask, GiveUp, Group, KeeperPlan, Prefer, Retire
from commander.hosting.paths import PathNetwork
from commander.tasks import cancel_and_wait, spawn
from commander.tunnel.codes import CloseCode
from commander.tunnel.reports import LinkReport
from commander.wire.commands import PathParameters

if TYPE_CHECKING:
    from commander.api.socket import RouterSocket
    from commander.tunnel.engine import TunnelEnd

ANSWER_S = 6.0
"""A command for a path that is not answered by then is given up."""
CHECK_S = 2.0
"""The control connection must answer a ping within it, or is made anew."""
PROBE_S = 1.5
"""After a change of the surroundings a path must give a sign of life within it."""


@dataclass(frozen=True)
class Means:
    """What attempts are made with; the same for all tunnels of a session."""

    router: RouterSocket
    network: PathNetwork
    position: Callable[[], Position]
    clock: Clock
    gates: Gates


class Kept(Protocol):
    """The tunnel, as its keeper sees it."""

    @property
    def request(self) -> TunnelRequest:
        """What it was asked for with."""
        ...

    @property
    def conversation(self) -> str:
        """The conversation of its start, by which the gateway knows it."""
        ...

    @property
    def end(self) -> TunnelEnd:
        """Its end."""
        ...

    def log(self, event: str, **values: Value) -> None:
        """Write a line into its log."""
        ...

    async def close(self, code: CloseCode, reason: str) -> None:
        """End it."""
        ...


class PathKeeper:
    """
    Keeps one tunnel on the best path from `begin` to `close`.

    The owner passes on what the engine tells (`changed`, `interrupted`, `resumed`) and what it
    hears of the surroundings.
    """

    def __init__(self, tunnel: Kept, plan: KeeperPlan, means: Means) -> None:
        self._tunnel = tunnel
        self._plan = plan
        self._means = means
        self._wake = asyncio.Event()
        self._attempts: dict[asyncio.Task[None], bool] = {}
        self._others: set[asyncio.Task[Any]] = set()
        self._known: dict[int, Group] = {}
        self._retiring: set[int] = set()
        self._next = 1
        self._task: asyncio.Task[None] | None = None

    async def first(self, attempt: Attempt, accepted: Accepted) -> None:
        """
        Bring up the first path; the attempt's other kinds go on coming up.

        Raises what `first_verified` raises, with the attempt closed.
        """
        self._plan.attempt_begun()
        self._advance(attempt)
        try:
            self._forbid_missing(attempt, accepted)
            await first_verified(attempt.attach(self._tunnel.end, accepted, self._kind_done))
        except BaseException:
            await attempt.close()
            raise
        self._spawn_attempt(self._settle(attempt), is_answered=True)

    def begin(self) -> None:
        """Watch from now on."""
        assert self._task is None
        self._means.gates.tunnels.add(self)
        self._task = spawn(self._run(), name="tunnel-keeper")

    async def close(self) -> None:
        """Stop; idempotent."""
        # The keeper itself may be what ended the tunnel.
        running = [self._task, *self._attempts, *self._others]
        await cancel_and_wait(*(task for task in running if task is not asyncio.current_task()))

    # --- what the owner tells -----------------------------------------------------------------

    def use(self, means: Means) -> None:
        """Make further attempts with another session."""
        self._means = means
        self._plan.signed_in()
        self._wake.set()

    def changed(self) -> None:
        """A path came or went."""
        self._wake.set()

    def narrow(self, group: int) -> None:
        """The carriers of a group lose so much that more of them would carry more."""
        self._plan.narrow(group)
        self._wake.set()

    def interrupted(self, reason: str, *, gone: bool) -> None:
        """The last path went."""
        self._plan.interrupted(reason, self._now(), gone=gone)
        self._means.gates.interrupted.add(self)
        self._spawn_other(self._means.router.check(within_s=CHECK_S))
        self._wake.set()

    def resumed(self) -> None:
        """A path carries again: attempts that wait for an answer are not needed."""
        self._plan.resumed()
        self._means.gates.interrupted.discard(self)
        for task, is_answered in self._attempts.items():
            if not is_answered:
                task.cancel()
        self._wake.set()

    def surroundings_changed(self, why: str, *, is_moved: bool) -> None:
        """Test the live paths at once; when the machine has moved or slept, ask for fresh ones as well."""
        self._spawn_other(self._probe())
        if is_moved:
            self._tunnel.log("surroundings", reason=why)
            self._plan.surroundings_changed(why)
            self._wake.set()

    # --- the ring -----------------------------------------------------------------------------

    async def _run(self) -> None:
        gates = self._means.gates
        try:
            while not self._tunnel.end.closed.done():
                self._wake.clear()
                await self._wait_until(self._step())
        finally:
            gates.tunnels.discard(self)
            gates.interrupted.discard(self)

    def _step(self) -> float | None:
        """Do what the plan says; when it wants to be asked again."""
        now, means = self._now(), self._means
        decision = self._plan.decide(
            self._look(now),
            now,
            is_connected=means.router.is_connected,
            is_crowded=means.gates.is_crowded,
        )
        for action in decision.actions:
            self._do(action)
        return decision.again_at

    async def _wait_until(self, at: float | None) -> None:
        wait = None if at is None else max(0.01, at - self._now())
        try:
            async with asyncio.timeout(wait):
                await self._wake.wait()
        except TimeoutError:
            return

    def _look(self, now: float) -> list[Group]:
        """The live groups; tells the plan of those that died."""
        found: dict[int, list[LinkReport]] = {}
        for link in self._tunnel.end.links():
            found.setdefault(link.group, []).append(link)
        for number, group in self._known.items():
            if number not in found and number not in self._retiring:
                self._plan.group_lost(group, now)
        self._retiring &= found.keys()
        self._known = {
            number: _group(number, links, self._known.get(number), now)
            for number, links in found.items()
        }
        return [group for number, group in self._known.items() if number not in self._retiring]

    def _do(self, action: Action) -> None:
        end, log = self._tunnel.end, self._tunnel.log
        match action:
            case Ask():
                self._spawn_attempt(self._attempt(action), is_answered=False)
            case Prefer(group, why):
                log("preferred", path=group.kind, generation=group.group, reason=why)
                end.prefer(group.group)
            case Retire(group, why):
                log("retired", path=group.kind, generation=group.group, reason=why)
                self._retiring.add(group.group)
                self._spawn_other(self._retire(group.group))
            case GiveUp(code, reason):
                self._spawn_other(self._tunnel.close(code, reason))

    async def _retire(self, group: int) -> None:
        await self._tunnel.end.retire(group)
        if any(link.group == group for link in self._tunnel.end.links()):
            # The others died meanwhile: it is the last one, and counts again.
            self._retiring.discard(group)
            self._wake.set()

    # --- attempts -----------------------------------------------------------------------------

    async def _attempt(self, asked: Ask) -> None:
        means, gateway = self._means, self._tunnel.request.gateway
        try:
            await means.router.wait_connected(timeout_s=None)
            is_urgent = self._tunnel.end.is_interrupted
            async with means.gates.turn(gateway, is_urgent=is_urgent, offline=self._offline):
                attempt = await self._try(asked)
        except CommanderError as error:
            self._failed(asked.kinds, error)
            self._ended()
            return
        except BaseException:
            self._ended()
            raise
        await self._settle(attempt)

    async def _try(self, asked: Ask) -> Attempt:
        """Ask, and return with the first path up; the attempt is closed when it raises."""
        links = self._tunnel.end.links()
        first = next_first(self._next, asked.kinds, (link.generation for link in links))
        attempt = await Attempt.begin(asked.kinds, self._means.network, first, group=asked.group)
        try:
            self._advance(attempt)
            self._tunnel.log("trying", paths=", ".join(attempt.kinds), reason=asked.why)
            accepted = await self._ask(attempt, first)
            self._plan.answered()
            self._means.gates.heard(self._tunnel.request.gateway, is_offline=False)
            self._forbid_missing(attempt, accepted)
            task = asyncio.current_task()
            assert task is not None
            self._attempts[task] = True
            await first_verified(attempt.attach(self._tunnel.end, accepted, self._kind_done))
        except CommanderError as error:
            is_offline = error.code == Code.GATEWAY_OFFLINE
            self._means.gates.heard(self._tunnel.request.gateway, is_offline=is_offline)
            await attempt.close()
            raise
        except BaseException:
            await attempt.close()
            raise
        return attempt

    async def _ask(self, attempt: Attempt, first: int) -> Accepted:
        means, tunnel = self._means, self._tunnel
        checking = spawn(self._check_silence(), name="tunnel-check")
        try:
            return await ask_gateway(
                tunnel.request,
                attempt.offer,
                means.router,
                position=means.position,
                clock=means.clock,
                timeout_s=ANSWER_S,
                further=PathParameters(tunnel.conversation, first, attempt.group),
            )
        finally:
            await cancel_and_wait(checking)

    async def _check_silence(self) -> None:
        """Without an answer for a while, doubt the control connection."""
        await asyncio.sleep(CHECK_S)
        await self._means.router.check(within_s=CHECK_S)

    async def _settle(self, attempt: Attempt) -> None:
        try:
            await attempt.settled()
        finally:
            await attempt.close()
            self._ended()

    def _ended(self) -> None:
        self._plan.attempt_ended(self._now())
        self._wake.set()

    def _offline(self) -> None:
        self._plan.gateway_offline(self._now())
        self._wake.set()

    def _failed(self, kinds: tuple[str, ...], error: CommanderError) -> None:
        self._tunnel.log("failed", paths=", ".join(kinds), code=error.code, reason=error.message)
        if isinstance(error, NotLoggedIn):
            self._plan.signed_out(f"{error.message}: log in and start it again")
        elif error.code == Code.GATEWAY_OFFLINE:
            self._offline()
        elif isinstance(error, Refused) or error.code == Code.PEER_UNKNOWN:
            self._plan.refused(error.code, error.message)
        elif not isinstance(error, Unreachable):
            self._plan.answered()

    def _kind_done(self, kind: str, error: CommanderError | None) -> None:
        if error is None:
            self._plan.kind_up(kind)
        else:
            self._tunnel.log("path-failed", path=kind, reason=error.message)
            self._plan.kind_failed(kind, self._now())
        self._wake.set()

    def _forbid_missing(self, attempt: Attempt, accepted: Accepted) -> None:
        for kind in attempt.kinds:
            if kind not in accepted.answer.kinds:
                self._tunnel.log("path-not-offered", path=kind)
                self._plan.forbid(kind)

    def _advance(self, attempt: Attempt) -> None:
        self._next = max(numbers.stop for numbers in attempt.numbers.values())

    async def _probe(self) -> None:
        await asyncio.gather(
            self._tunnel.end.probe(PROBE_S), self._means.router.check(within_s=CHECK_S)
        )

    def _spawn_attempt(self, work: Coroutine[Any, Any, None], *, is_answered: bool) -> None:
        task = spawn(work, name="tunnel-path-attempt")
        self._attempts[task] = is_answered
        task.add_done_callback(lambda done: self._attempts.pop(done, None))

    def _spawn_other(self, work: Coroutine[Any, Any, object]) -> None:
        task = spawn(work, name="tunnel-keeper-step")
        self._others.add(task)
        task.add_done_callback(self._others.discard)

    def _now(self) -> float:
        return self._means.clock.monotonic()


def _group(number: int, links: list[LinkReport], known: Group | None, now: float) -> Group:
    measured = [link.rtt_s for link in links if link.rtt_s is not None]
    return Group(
        kind=links[0].kind,
        group=number,
        rtt_s=min(measured, default=None),
        since=known.since if known is not None else now,
        is_preferred=any(link.is_preferred for link in links),
        carriers=len(links),
    )
