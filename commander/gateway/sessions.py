"""
One supervisor per tunnel: its paths, its end, and everything that may end it early.

The table knows for each tunnel what it rests on. `judge_all` is asked at every new head and every
ten seconds; who does not hold any more is killed: RST to both sides, and an audit event.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from commander import tasks
from commander.audit.events import Event, TunnelKilled, TunnelOutcome, clip
from commander.authority.decide import Refuse
from commander.authority.refusals import Code
from commander.authority.state import State
from commander.clock import Clock
from commander.codec import decode
from commander.errors import CommanderError, InvalidInput
from commander.gateway.limits import HELLO_S
from commander.gateway.rights import Rights, ends_at, judge_rights
from commander.gateway.targets import TargetConnector
from commander.tunnel.codes import CloseCode, Role
from commander.tunnel.engine import TunnelEnd
from commander.tunnel.keys import ConversationKeys
from commander.tunnel.path import Binding, Path
from commander.tunnel.reports import StreamReport, TunnelLimits
from commander.wire.commands import StreamMeta

_log = logging.getLogger(__name__)
# A stream's meta is the client's word: bounded here, shown in audit, and decides nothing.
MAX_META_BYTES = 512
MAX_PROGRAM = 32
MAX_PROGRAMS = 8
WriteEvent = Callable[[Event], Awaitable[None]]
MakePath = Callable[[], Awaitable[tuple[Path, Binding]]]
"""Opens one path of a conversation. Raises CommanderError."""


class _Tally:
    """Counts what the audit outcome tells; fits `tunnel.reports.TunnelEvents`."""

    def __init__(self) -> None:
        self.path = ""
        self.streams = 0
        self.streams_refused = 0
        self.bytes_to_target = 0
        self.bytes_from_target = 0
        self.programs: set[str] = set()

    def path_up(self, kind: str, generation: int) -> None:
        """Remember what carried the tunnel last."""
        self.path = kind

    def path_lost(self, kind: str, reason: str) -> None:
        """Nothing to count."""

    def stream_opened(self, stream: int, meta: bytes) -> None:
        """Count a connection, and note the program that the client says is behind it."""
        self.streams += 1
        with contextlib.suppress(InvalidInput):
            program = clip(decode(StreamMeta, meta, limit=MAX_META_BYTES).program, MAX_PROGRAM)
            if program and len(self.programs) < MAX_PROGRAMS:
                self.programs.add(program)

    def stream_closed(self, report: StreamReport) -> None:
        """Add a connection's bytes."""
        self.bytes_to_target += report.bytes_in
        self.bytes_from_target += report.bytes_out
        self.streams_refused += report.cause not in ("closed", "aborted", "tunnel-closed")

    def tunnel_closed(self, code: CloseCode, reason: str) -> None:
        """Nothing to count."""


@dataclass
class Session:
    """One tunnel of this gateway, what it rests on, and how it came to its end."""

    conversation: str
    rights: Rights
    target: TargetConnector
    keys: ConversationKeys = field(repr=False)
    started_at: float = 0.0
    end: TunnelEnd | None = None
    killed: Refuse | None = None
    expiry: asyncio.TimerHandle | None = None
    task: asyncio.Task[None] | None = None
    tally: _Tally = field(default_factory=_Tally)


class Sessions:
    """All tunnels of the process."""

    def __init__(self, *, clock: Clock, write: WriteEvent, hello_s: float = HELLO_S) -> None:
        self._clock = clock
        self._write = write
        self._hello_s = hello_s
        self._live: dict[str, Session] = {}
        self.counters: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._live)

    def __contains__(self, conversation: str) -> bool:
        return conversation in self._live

    def count_of(self, user: str) -> int:
        """How many tunnels a user has open here."""
        return sum(session.rights.user == user for session in self._live.values())

    def all(self) -> list[Session]:
        """Every live tunnel."""
        return list(self._live.values())

    def open(self, session: Session, paths: Sequence[MakePath], state: State) -> None:
        """
        Begin a tunnel whose intent is on disk. The paths are tried at once, each with its own
        generation, and the first on which the client proves itself carries the tunnel.
        """
        assert session.conversation not in self._live
        session.started_at = self._clock.now()
        session.end = TunnelEnd(
            Role.GATEWAY,
            session.keys,
            events=session.tally,
            clock=self._clock,
            limits=TunnelLimits(hello_s=self._hello_s),
            connect=session.target,
        )
        self._live[session.conversation] = session
        self.counters["opened"] += 1
        session.task = tasks.spawn(
            self._run(session, session.end, paths), name=f"tunnel-{session.conversation}"
        )
        self._arm(session, state)

    async def _run(self, session: Session, end: TunnelEnd, paths: Sequence[MakePath]) -> None:
        try:
            await self._attach(end, paths)
            closed = await asyncio.shield(end.closed)
            code, reason = closed.code.label, closed.reason
        except CommanderError as error:
            code, reason = CloseCode.HELLO_FAILED.label, error.message
            if end.closed.done():
                code, reason = end.closed.result().code.label, end.closed.result().reason
        finally:
            self._forget(session)
            await end.close(CloseCode.HELLO_FAILED, "no path")
        await self._tell_outcome(session, code, reason)

    async def _attach(self, end: TunnelEnd, paths: Sequence[MakePath]) -> None:
        """
        Return when one path carries the tunnel, or it was closed meanwhile.

        Raises the last path's error when none does.
        """
        attempts = {
            tasks.spawn(_attach_one(end, make, number), name="tunnel-attach")
            for number, make in enumerate(paths, 1)
        }
        waiting: set[asyncio.Future[Any]] = {*attempts, end.closed}
        try:
            while not end.closed.done():
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                if any(attempt in done and attempt.exception() is None for attempt in attempts):
                    return
                if waiting == {end.closed}:
                    done.pop().result()
        finally:
            await tasks.cancel_and_wait(*attempts)

    def _forget(self, session: Session) -> None:
        del self._live[session.conversation]
        if session.expiry is not None:
            session.expiry.cancel()
        session.keys.wipe()

    async def tell_never_opened(self, session: Session, refusal: Refuse) -> None:
        """Close the intent of a tunnel that may not begin after all."""
        session.started_at = self._clock.now()
        await self._tell_outcome(session, str(refusal.code), refusal.reason)

    async def _tell_outcome(self, session: Session, code: str, reason: str) -> None:
        if session.killed is not None:
            code, reason = str(Code.REVOKED_MEANWHILE), session.killed.reason
        self.counters[code] += 1
        tally = session.tally
        await self._write(
            TunnelOutcome(
                conversation=session.conversation,
                user=session.rights.user,
                record=session.rights.record,
                code=code,
                path=tally.path,
                duration_ms=max(0, int((self._clock.now() - session.started_at) * 1000)),
                bytes_to_target=tally.bytes_to_target,
                bytes_from_target=tally.bytes_from_target,
                streams=tally.streams,
                streams_refused=tally.streams_refused,
                programs=", ".join(sorted(tally.programs)),
                reason=clip(reason),
            )
        )

    # --- ending early ------------------------------------------------------------------------

    def _arm(self, session: Session, state: State) -> None:
        """End the tunnel at the second its share ends, whatever happens to the wall clock then."""
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


async def _attach_one(end: TunnelEnd, make: MakePath, generation: int) -> None:
    path, binding = await make()
    await end.attach(path, binding, generation=generation)
