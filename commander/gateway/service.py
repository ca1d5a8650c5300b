"""
From a delivered message to an effect or a coded, signed, audited refusal.

The order of the checks is the published one; this module only asks the rooms that know
(`commands`, `judging`, `starting`, `further_paths`) and answers for them.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from commander.audit.events import CommandRefused, Event, clip
from commander.authority.refusals import EXPLANATIONS, Code
from commander.clock import Clock
from commander.crypto.box import BoxPrivateKey
from commander.crypto.signing import SigningKey
from commander.errors import CommanderError, Refused
from commander.gateway.checking import TargetChecker
from commander.gateway.commands import (
    Genuine,
    NonceMemory,
    Opened,
    check_command,
    is_behind,
    open_sealed_command,
)
from commander.gateway.follower import LogFollower, try_to_catch_up
from commander.gateway.further_paths import FurtherPaths
from commander.gateway.judging import Judge, what_went_off
from commander.gateway.limits import (
    MAX_UNAUTHENTICATED_AUDITS_PER_S,
    Bucket,
    StartLimits,
)
from commander.gateway.paths import PathKinds
from commander.gateway.records import RecordReader
from commander.gateway.sessions import Sessions, WriteEvent
from commander.gateway.starting import TunnelStarter
from commander.gateway.targets import Resolve, TargetRule, resolve_name
from commander.tunnel.codes import CloseCode
from commander.wire.commands import (
    ATTACH_PATH,
    CHECK_TARGET,
    PROBE_TUNNEL,
    START_TUNNEL,
    Deliver,
    Reply,
    Send,
    command_hash,
    seal_reply,
)

_log = logging.getLogger(__name__)
_ABOUT_TARGETS = frozenset({Code.TARGET_INVALID, Code.TARGET_FORBIDDEN, Code.TARGET_OVERRIDE})

Handler = Callable[[Genuine], Awaitable[bytes]]
"""Does what a genuine command asks for, if it may; the sealed answer. Raises Refused."""


@dataclass(frozen=True)
class Identity:
    """Who this gateway is."""

    uid: str
    signing_key: SigningKey = field(repr=False)
    box_key: BoxPrivateKey = field(repr=False)


@dataclass
class _Handled:
    """How far a delivered message came."""

    message: Deliver
    opened: Opened | None = None
    genuine: Genuine | None = None


class CommandService:
    """
    Answers commands. `handle` never raises for what a peer does; it returns the reply to send.

    Once `drain` was called every new command is refused (gateway-stopping).
    """

    def __init__(
        self,
        identity: Identity,
        *,
        follower: LogFollower,
        reader: RecordReader,
        sessions: Sessions,
        paths: PathKinds,
        rule: TargetRule,
        write: WriteEvent,
        clock: Clock,
        resolve: Resolve = resolve_name,
        limits: StartLimits | None = None,
    ) -> None:
        self.counters: Counter[str] = Counter()
        self.sessions = sessions
        self.started_at = clock.now()
        self._identity = identity
        self._follower = follower
        self._reader = reader
        self._write = write
        self._clock = clock
        self._limits = limits or StartLimits()
        self._nonces = NonceMemory()
        rate = MAX_UNAUTHENTICATED_AUDITS_PER_S
        self._strangers = Bucket(rate, 10 * rate, 10 * rate, clock.monotonic())
        self._judge = Judge(identity.uid, follower=follower, reader=reader, clock=clock)
        self.starter = TunnelStarter(
            self._judge,
            follower=follower,
            sessions=sessions,
            paths=paths,
            rule=rule,
            write=write,
            limits=self._limits,
            resolve=resolve,
        )
        self._handlers: dict[str, Handler] = {
            START_TUNNEL: self._start,
            ATTACH_PATH: self._further_paths(paths).open,
            CHECK_TARGET: self._checker(rule, resolve).check,
            PROBE_TUNNEL: self._probe,
        }

    def _further_paths(self, paths: PathKinds) -> FurtherPaths:
        return FurtherPaths(
            self._judge,
            follower=self._follower,
            sessions=self.sessions,
            paths=paths,
            limits=self._limits,
            clock=self._clock,
        )

    def _checker(self, rule: TargetRule, resolve: Resolve) -> TargetChecker:
        return TargetChecker(
            self._judge,
            follower=self._follower,
            rule=rule,
            write=self._write,
            limits=self._limits,
            clock=self._clock,
            resolve=resolve,
        )

    def drain(self) -> None:
        """Open no further tunnel."""
        self.starter.is_draining = True

    async def handle(self, message: Deliver) -> Send:
        """Judge one delivered command, act on it, and return the reply."""
        handled = _Handled(message)
        answer = b""
        code = reason = ""
        try:
            answer = await self._execute(handled)
        except Refused as error:
            code, reason = str(error.code), error.message
            await self._audit_refusal(handled, error)
        except Exception:  # noqa: BLE001  the command's top: the client must get an answer
            _log.exception("a command failed unexpectedly")
            code, reason = "failed", "the gateway failed"
        self.counters[code or "accepted"] += 1
        reply = Reply(
            message.conversation, command_hash(message.payload), not code, code, reason, answer
        )
        secret = handled.opened.secret if handled.opened is not None else None
        sealed = seal_reply(reply, self._identity.signing_key, secret=secret)
        return Send(message.conversation, message.sender, sealed)

    async def _execute(self, handled: _Handled) -> bytes:
        handled.opened = open_sealed_command(
            handled.message.payload,
            self._identity.box_key,
            gateway=self._identity.uid,
            conversation=handled.message.conversation,
            sender=handled.message.sender,
        )
        genuine = handled.genuine = await self._prove(handled.opened)
        return await self._handlers[genuine.command.action](genuine)

    async def _start(self, genuine: Genuine) -> bytes:
        if not self._limits.may_ask(genuine.user, self._clock.monotonic()):
            raise Refused("too many commands; try again later", code=Code.LIMIT_REACHED)
        return await self.starter.start(await self._judge.judge(genuine))

    async def _probe(self, genuine: Genuine) -> bytes:
        if not self._limits.may_check(genuine.user, self._clock.monotonic()):
            raise Refused("too many probes; try again in a minute", code=Code.LIMIT_REACHED)
        return await self.starter.start(await self._judge.judge(genuine))

    # --- checks --------------------------------------------------------------------------------

    async def _prove(self, opened: Opened) -> Genuine:
        self._follower.check()
        try:
            return self._check(opened)
        except Refused as error:
            if not is_behind(error, opened, self._follower.state):
                raise
        await try_to_catch_up(self._follower)
        self._follower.check()
        return self._check(opened)

    def _check(self, opened: Opened) -> Genuine:
        return check_command(
            opened,
            self._follower.state,
            gateway=self._identity.uid,
            started_at=self.started_at,
            now=self._clock.now(),
            nonces=self._nonces,
        )

    # --- refusals ------------------------------------------------------------------------------

    async def _audit_refusal(self, handled: _Handled, error: Refused) -> None:
        # Whoever can reach us may send what is not signed; that must not fill the disk.
        if handled.genuine is None and not self._strangers.take(self._clock.monotonic()):
            self.counters["refusals-not-audited"] += 1
            return
        command = handled.opened.command if handled.opened is not None else None
        event = CommandRefused(
            code=str(error.code),
            action=clip(command.action, 64) if command else "",
            conversation=clip(handled.message.conversation, 64),
            user=handled.genuine.user if handled.genuine is not None else "",
            device=clip(handled.message.sender, 64),
            gateway=self._identity.uid,
            record=clip(command.record, 64) if command else "",
            reason=_told(error),
        )
        await self._write_or_count(event)

    async def _write_or_count(self, event: Event) -> None:
        try:
            await self._write(event)
        except CommanderError:
            self.counters["refusals-not-audited"] += 1

    # --- watch over live tunnels -----------------------------------------------------------------

    async def judge_log(self) -> int:
        """Run `decide` again over all tunnels; call it at each new head. Returns how many ended."""
        return await self.sessions.judge_all(self._follower.state)

    async def judge_records(self) -> None:
        """Read the records of live tunnels again, and end those whose switches went off."""
        sessions = self.sessions.all()
        uids = {uid for s in sessions for uid in (s.rights.record, s.rights.configuration)}
        if not uids:
            return
        found = await self._reader.read_many(sorted(uids))
        for session in sessions:
            record = found[session.rights.record]
            configuration = found[session.rights.configuration]
            refusal = what_went_off(self._identity.uid, record, configuration)
            if refusal is not None:
                await self.sessions.kill(session, refusal, log_seq=self._follower.state.seq)

    async def close(self) -> None:
        """End all tunnels with `going away`."""
        self.drain()
        await self.sessions.close_all(CloseCode.GOING_AWAY, "the gateway is shutting down")


def _told(error: Refused) -> str:
    """The reason for the audit log, which the server reads: none that quotes a host."""
    if error.code in _ABOUT_TARGETS:
        return EXPLANATIONS[Code(error.code)][1]
    return clip(error.message)
