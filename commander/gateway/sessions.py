"""
One supervisor per tunnel: its paths, its end, and everything that may end it early.

The table knows for each tunnel what it rests on. `judge_all` is asked at every new head and every
ten seconds; who does not hold any more is killed: RST to both sides, and an audit event. A tunnel
without a path is in the table like any other: it is counted, judged, killed and expires.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from commander import tasks
from commander.audit.events import Event, PathAttached, TunnelKilled, clip
from commander.authority.decide import Refuse
from commander.authority.refusals import Code
from commander.authority.state import State
from commander.clock import Clock
from commander.errors import CommanderError
from commander.gateway.limits import (
    HELLO_S,
    MAX_ATTEMPTS,
    MAX_ENDED,
    PATHS_BURST,
    PATHS_PER_S,
    RESUME_S,
    Bucket,
)
from commander.gateway.offers import Carrier, Prepared
from commander.gateway.rights import Rights, ends_at, judge_rights
from commander.gateway.tally import Tally
from commander.gateway.targets import Target
from commander.gateway.totals import Totals
from commander.tunnel.codes import CloseCode, Role
from commander.tunnel.engine import TunnelEnd
from commander.tunnel.keys import ConversationKeys
from commander.tunnel.reports import TunnelLimits
from commander.tunnel.target import MakeProtocol

_log = logging.getLogger(__name__)
WriteEvent = Callable[[Event], Awaitable[None]]


@dataclass(frozen=True)
class Attempt:
    """One command's paths: the conversation and keys they are proved by, and what is to be opened."""

    conversation: str
    keys: ConversationKeys = field(repr=False)
    prepared: Prepared


class FarEnd(Protocol):
    """What a tunnel's streams are connected to, and the name that audit gives it."""

    @property
    def target(self) -> Target:
        """Where it leads."""
        ...

    async def __call__(self, meta: bytes, make_protocol: MakeProtocol) -> None:
        """Connect one stream. Raises StreamRefused."""
        ...


@dataclass
class Session:
    """One tunnel of this gateway, what it rests on, and how it came to its end."""

    conversation: str
    rights: Rights
    target: FarEnd
    keys: ConversationKeys = field(repr=False)
    asked: tuple[str, int] = ("", 0)
    """Host and port that the command of its start named."""
    started_at: float = 0.0
    end: TunnelEnd | None = None
    killed: Refuse | None = None
    expiry: asyncio.TimerHandle | None = None
    task: asyncio.Task[None] | None = None
    attempts: list[asyncio.Task[None]] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)
    judged_at: int = 0
    """Position of the log at which its rights were judged last."""
    allowance: Bucket = field(
        default_factory=lambda: Bucket(PATHS_PER_S, PATHS_BURST, PATHS_BURST, 0.0)
    )
    """How often its client may ask for further paths."""


@dataclass(frozen=True)
class Ended:
    """A tunnel that is over, so that a client that comes back for it is told why."""

    device: str
    record: str
    code: str
    reason: str


class Sessions:
    """All tunnels of the process."""

    def __init__(
        self,
        *,
        clock: Clock,
        write: WriteEvent,
        hello_s: float = HELLO_S,
        limits: TunnelLimits | None = None,
    ) -> None:
        self._clock = clock
        self._write = write
        self._limits = limits or TunnelLimits(hello_s=hello_s, resume_s=RESUME_S)
        self._live: dict[str, Session] = {}
        self._ended: OrderedDict[str, Ended] = OrderedDict()
        self.counters: Counter[str] = Counter()
        self.totals = Totals()

    def __len__(self) -> int:
        return len(self._live)

    def __contains__(self, conversation: str) -> bool:
        return conversation in self._live

    def get(self, conversation: str) -> Session | None:
        """A live tunnel by the conversation of its start."""
        return self._live.get(conversation)

    def ended(self, conversation: str) -> Ended | None:
        """How a tunnel ended, if it was one of the last thousands."""
        return self._ended.get(conversation)

    def count_of(self, user: str) -> int:
        """How many tunnels a user has open here."""
        return sum(session.rights.user == user for session in self._live.values())

    def all(self) -> list[Session]:
        """Every live tunnel."""
        return list(self._live.values())

    def open(self, session: Session, attempt: Attempt, state: State) -> None:
        """
        Begin a tunnel whose intent is on disk.

        All its paths are tried at once; those on which the client proves itself carry it.
        """
        assert session.conversation not in self._live
        session.started_at = self._clock.now()
        session.tally = Tally(self.totals)
        session.end = TunnelEnd(
            Role.GATEWAY,
            session.keys,
            events=session.tally,
            clock=self._clock,
            limits=self._limits,
            connect=session.target,
        )
        self._live[session.conversation] = session
        self.counters["opened"] += 1
        session.task = tasks.spawn(
            self._run(session, session.end, attempt), name=f"tunnel-{session.conversation}"
        )
        self._arm(session, state)

    async def _run(self, session: Session, end: TunnelEnd, attempt: Attempt) -> None:
        try:
            await self._first_attempt(session, end, attempt)
            closed = await asyncio.shield(end.closed)
            code, reason = closed.code.label, closed.reason
        except CommanderError as error:
            code, reason = CloseCode.HELLO_FAILED.label, error.message
            if end.closed.done():
                code, reason = end.closed.result().code.label, end.closed.result().reason
        finally:
            self._forget(session)
            await tasks.cancel_and_wait(*session.attempts)
            await end.close(CloseCode.HELLO_FAILED, "no path")
        await self._tell_outcome(session, code, reason)

    async def _first_attempt(self, session: Session, end: TunnelEnd, attempt: Attempt) -> None:
        """Return when it was tried, or the tunnel closed. Raises when the tunnel has no path by then."""
        opening = tasks.spawn(self._attempt(session, end, attempt), name="tunnel-first-attempt")
        try:
            waiting: set[asyncio.Future[Any]] = {opening, end.closed}
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if opening.done() and session.tally.links == 0:
                opening.result()
        finally:
            await tasks.cancel_and_wait(opening)

    def _forget(self, session: Session) -> None:
        del self._live[session.conversation]
        if session.end is not None:
            self.totals.ended(session.end.stats())
        if session.expiry is not None:
            session.expiry.cancel()
        session.keys.wipe()

    # --- paths -------------------------------------------------------------------------------

    def attach(self, session: Session, attempt: Attempt, rights: Rights, state: State) -> None:
        """
        Open further paths of a live tunnel, for rights that were just judged; returns at once.

        A tunnel has few attempts at a time: the client gave up the oldest when it asks once more.
        """
        assert session.end is not None
        session.rights = rights
        self._arm(session, state)
        while len(session.attempts) >= MAX_ATTEMPTS:
            session.attempts.pop(0).cancel()
        self.counters["path-attempts"] += 1
        task = tasks.spawn(self._attempt(session, session.end, attempt), name="tunnel-attempt")
        session.attempts.append(task)
        task.add_done_callback(lambda done: _discard(session.attempts, done))

    async def _attempt(self, session: Session, end: TunnelEnd, attempt: Attempt) -> None:
        """Try all paths at once; raises the last one's error when none carries the tunnel."""
        try:
            await self._try_all(session, end, attempt)
        finally:
            await attempt.prepared.close()
            if attempt.conversation != session.conversation:
                attempt.keys.wipe()

    async def _try_all(self, session: Session, end: TunnelEnd, attempt: Attempt) -> None:
        opening = [
            tasks.spawn(self._open_one(session, end, attempt, carrier), name="tunnel-attach")
            for carrier in attempt.prepared.carriers
        ]
        try:
            outcomes = await asyncio.gather(*opening, return_exceptions=True)
        finally:
            await tasks.cancel_and_wait(*opening)
        errors = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        unexpected = [error for error in errors if not isinstance(error, CommanderError)]
        if unexpected or len(errors) == len(opening):
            raise (unexpected or errors)[-1]

    async def _open_one(
        self, session: Session, end: TunnelEnd, attempt: Attempt, carrier: Carrier
    ) -> None:
        path, binding = await carrier.make()
        await end.attach(
            path,
            binding,
            generation=carrier.generation,
            keys=attempt.keys,
            group=carrier.group,
        )
        is_further = attempt.conversation != session.conversation
        if is_further and carrier.is_first:
            await self._tell_attached(session, attempt, carrier)

    async def _tell_attached(self, session: Session, attempt: Attempt, carrier: Carrier) -> None:
        self.counters["paths-attached"] += 1
        rights = session.rights
        event = PathAttached(
            conversation=session.conversation,
            attempt=attempt.conversation,
            user=rights.user,
            device=rights.device,
            gateway=rights.gateway,
            record=rights.record,
            path=carrier.kind,
            generation=carrier.generation,
            log_seq=session.judged_at,
        )
        try:
            await self._write(event)
        except CommanderError:
            # The tunnel's intent is on disk; a full one must not cost connections that live.
            self.counters["attached-not-audited"] += 1

    # --- the end -----------------------------------------------------------------------------

    async def tell_never_opened(self, session: Session, refusal: Refuse) -> None:
        """Close the intent of a tunnel that may not begin after all."""
        session.started_at = self._clock.now()
        await self._tell_outcome(session, str(refusal.code), refusal.reason)

    def _remember_end(self, session: Session, code: str, reason: str) -> None:
        if session.killed is not None:
            code, reason = str(session.killed.code), session.killed.reason
        rights = session.rights
        self._ended[session.conversation] = Ended(rights.device, rights.record, code, reason)
        while len(self._ended) > MAX_ENDED:
            self._ended.popitem(last=False)

    async def _tell_outcome(self, session: Session, code: str, reason: str) -> None:
        self._remember_end(session, code, reason)
        if session.killed is not None:
            code, reason = str(Code.REVOKED_MEANWHILE), session.killed.reason
        self.counters[code] += 1
        tally = session.tally
        paths = tally.paths_event(session.conversation, session.rights)
        if paths is not None:
            await self._write(paths)
        for event in tally.turned_away_events(session.conversation, session.rights):
            await self._write(event)
        await self._write(
            tally.outcome_event(
                session.conversation,
                session.rights,
                code=code,
                reason=reason,
                duration_ms=int((self._clock.now() - session.started_at) * 1000),
            )
        )

    # --- ending early ------------------------------------------------------------------------

    def _arm(self, session: Session, state: State) -> None:
        """End the tunnel at the second its share ends, whatever happens to the wall clock then."""
        session.judged_at = state.seq
        if session.expiry is not None:
            session.expiry.cancel()
            session.expiry = None
        end = ends_at(state, session.rights)
        if end:
            wait = max(0.0, end - self._clock.now())
            session.expiry = asyncio.get_running_loop().call_later(wait, self._expire, session)

    def _expire(self, session: Session) -> None:
        refusal = Refuse(Code.ACCESS_EXPIRED, "the share ended")
        tasks.spawn(self.kill(session, refusal, CloseCode.EXPIRED), name="tunnel-expire")

    async def judge_all(self, state: State) -> int:
        """Kill every tunnel that the log speaks against now; returns how many."""
        now = self._clock.now()
        # Many tunnels rest on the same rights, and each question walks the memberships.
        verdicts: dict[Rights, Refuse | None] = {}
        killed = []
        for session in self.all():
            same = replace(session.rights, record="", configuration="")
            if same not in verdicts:
                verdicts[same] = judge_rights(state, same, now=now)
            refusal = verdicts[same]
            if refusal is None:
                self._arm(session, state)
            else:
                killed.append(self.kill(session, refusal, log_seq=state.seq))
        await _all(killed)
        return len(killed)

    async def kill(
        self,
        session: Session,
        refusal: Refuse,
        code: CloseCode = CloseCode.REVOKED,
        *,
        log_seq: int = 0,
    ) -> None:
        """End a tunnel for a reason of right; returns when no byte passes any more. Idempotent."""
        if session.killed is not None or session.end is None or session.end.closed.done():
            return
        session.killed = refusal
        _log.warning("tunnel %s is ended: %s", session.conversation, refusal.reason)
        await session.end.close(code, str(Code.REVOKED_MEANWHILE))
        await self._write(
            TunnelKilled(
                conversation=session.conversation,
                user=session.rights.user,
                record=session.rights.record,
                code=str(refusal.code),
                log_seq=log_seq,
                reason=clip(refusal.reason),
            )
        )

    async def close_all(self, code: CloseCode, reason: str) -> None:
        """End every tunnel in order, and wait until all outcomes are written."""
        running = [session.task for session in self.all() if session.task is not None]
        await _all(session.end.close(code, reason) for session in self.all() if session.end)
        if running:
            await asyncio.wait(running)


async def _all(work: Iterable[Awaitable[None]]) -> None:
    await asyncio.gather(*work)


def _discard(attempts: list[asyncio.Task[None]], done: asyncio.Task[None]) -> None:
    if done in attempts:
        attempts.remove(done)
