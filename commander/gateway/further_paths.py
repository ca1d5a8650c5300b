"""
`tunnel.path`: further paths of a live tunnel, with every check of its start made again.

A tunnel belongs to the device and the record of its start. Who may not start it any more may not
go on with it either: the refusal ends the tunnel at once, with a path or without.
"""

from __future__ import annotations

from commander.authority.decide import Refuse
from commander.authority.refusals import Code
from commander.clock import Clock
from commander.errors import Refused
from commander.gateway.commands import Genuine
from commander.gateway.follower import LogFollower
from commander.gateway.judging import Judge, Plan, enforce, host_and_port
from commander.gateway.limits import StartLimits
from commander.gateway.offers import open_offer, prepare_paths
from commander.gateway.paths import PathKinds
from commander.gateway.sessions import Attempt, Ended, Session, Sessions
from commander.gateway.targets import choose_target
from commander.wire.commands import PathParameters

PASSING = frozenset(
    {
        Code.LIMIT_REACHED, Code.LOG_BEHIND, Code.LOG_FORKED, Code.RECORD_BEHIND,
        Code.RECORDS_UNAVAILABLE, Code.STORE_UNAVAILABLE, Code.GATEWAY_STOPPING,
        Code.OFFER_BROKEN, Code.PATH_FORBIDDEN, Code.CONVERSATION_UNKNOWN,
    }
)  # fmt: skip
"""Refusals that say nothing against the tunnel itself: asked again, the answer may be another."""


class FurtherPaths:
    """Attaches paths to live tunnels."""

    def __init__(
        self,
        judge: Judge,
        *,
        follower: LogFollower,
        sessions: Sessions,
        paths: PathKinds,
        limits: StartLimits,
        clock: Clock,
    ) -> None:
        self._judge = judge
        self._follower = follower
        self._sessions = sessions
        self._paths = paths
        self._limits = limits
        self._clock = clock

    async def open(self, genuine: Genuine) -> bytes:
        """Judge a command anew and open its paths; the sealed answer. Raises Refused."""
        session = self._find(genuine)
        self._check_rate(session, genuine.user)
        self._check_room(genuine)
        try:
            plan = await self._judge.judge(genuine)
            self._check_target(session, plan)
        except Refused as error:
            await self._end_if_final(session, error)
            raise
        return await self._attach(session, plan)

    def _find(self, genuine: Genuine) -> Session:
        parameters, command = genuine.parameters, genuine.command
        assert isinstance(parameters, PathParameters)
        session = self._sessions.get(parameters.tunnel)
        owner = (command.device, command.record)
        if session is not None and (session.rights.device, session.rights.record) == owner:
            if session.killed is None:
                return session
            enforce(session.killed)
        # One answer for all others: nobody learns from it which tunnels of others there are.
        ended = self._sessions.ended(parameters.tunnel)
        if ended is not None and (ended.device, ended.record) == owner:
            raise _told_end(ended)
        raise Refused(
            f"tunnel {parameters.tunnel} is not open here", code=Code.CONVERSATION_UNKNOWN
        )

    def _check_rate(self, session: Session, user: str) -> None:
        now = self._clock.monotonic()
        if not (session.allowance.take(now) and self._limits.may_ask_for_path(user, now)):
            raise Refused("too many paths were asked for; try later", code=Code.LIMIT_REACHED)

    def _check_room(self, genuine: Genuine) -> None:
        parameters = genuine.parameters
        assert isinstance(parameters, PathParameters)
        if parameters.group and not self._limits.may_widen(open_tunnels=len(self._sessions)):
            raise Refused(
                "the gateway has too many tunnels to give one more connections",
                code=Code.LIMIT_REACHED,
            )

    def _check_target(self, session: Session, plan: Plan) -> None:
        """The record, and what it lets a command choose, still lead where the tunnel leads."""
        target = choose_target(
            record=host_and_port(plan.record),
            tunnel_port=plan.settings.tunnel.remote_port,
            asked=session.asked,
            may_supply=plan.settings.allow_supply_host,
        )
        if target != session.target.target:
            raise Refused(
                "the record leads elsewhere now; start the tunnel again", code=Code.TARGET_OVERRIDE
            )

    async def _end_if_final(self, session: Session, error: Refused) -> None:
        if error.code not in PASSING:
            refusal = Refuse(Code(error.code), error.message)
            await self._sessions.kill(session, refusal, log_seq=self._follower.state.seq)

    async def _attach(self, session: Session, plan: Plan) -> bytes:
        parameters = plan.genuine.parameters
        assert isinstance(parameters, PathParameters)
        opened = open_offer(plan)
        prepared = await prepare_paths(
            self._paths, plan, opened, parameters.generation, group=parameters.group
        )
        try:
            # Since it was judged the log may have moved, and the tunnel may have ended.
            enforce(self._judge.judge_again(plan.rights))
            self._find(plan.genuine)
            attempt = Attempt(opened.conversation, opened.keys, prepared)
            self._sessions.attach(session, attempt, plan.rights, self._follower.state)
        except BaseException:
            await prepared.close()
            raise
        return prepared.answer(opened, str(session.target.target))


def _told_end(ended: Ended) -> Refused:
    """A right that was taken away has its own code; every other end is that of the tunnel."""
    try:
        return Refused(ended.reason, code=Code(ended.code))
    except ValueError:
        told = f"the tunnel ended here: {ended.code}, {ended.reason}"
        return Refused(told, code=Code.CONVERSATION_UNKNOWN)
