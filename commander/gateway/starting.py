"""`tunnel.start` and `tunnel.probe`: from a judged command to a tunnel whose intent is on disk."""

from __future__ import annotations

from collections import Counter

from commander.audit.events import TunnelIntent, TunnelReason, clip
from commander.audit.sealed import seal_value
from commander.authority.decide import Refuse
from commander.authority.refusals import Code
from commander.errors import Refused
from commander.gateway.follower import LogFollower
from commander.gateway.judging import Judge, Plan, enforce, host_and_port
from commander.gateway.limits import StartLimits
from commander.gateway.offers import OpenOffer, Prepared, open_offer, prepare_paths
from commander.gateway.paths import PathKinds
from commander.gateway.probing import ProbeEnd
from commander.gateway.sessions import Attempt, Session, Sessions, WriteEvent
from commander.gateway.targets import (
    Resolve,
    TargetConnector,
    TargetRule,
    choose_target,
    resolve_name,
)
from commander.wire.commands import START_TUNNEL, TunnelParameters


class TunnelStarter:
    """Begins tunnels within the limits; once `is_draining` is set, none."""

    def __init__(
        self,
        judge: Judge,
        *,
        follower: LogFollower,
        sessions: Sessions,
        paths: PathKinds,
        rule: TargetRule,
        write: WriteEvent,
        limits: StartLimits,
        resolve: Resolve = resolve_name,
    ) -> None:
        self.is_draining = False
        self.write = write
        self._judge = judge
        self._follower = follower
        self._sessions = sessions
        self._paths = paths
        self._rule = rule
        self._limits = limits
        self._resolve = resolve
        self._starting: Counter[str] = Counter()
        self._beginning: set[str] = set()

    async def start(self, plan: Plan) -> bytes:
        """Begin a tunnel, or for `tunnel.probe` one that ends here; the sealed answer. Raises Refused, or what the audit log raises."""
        user = plan.rights.user
        self._check_room(user)
        self._starting[user] += 1
        try:
            return await self._open_tunnel(plan)
        finally:
            self._starting[user] -= 1
            if not self._starting[user]:
                del self._starting[user]

    def _check_room(self, user: str) -> None:
        if self.is_draining:
            raise Refused("the gateway is shutting down", code=Code.GATEWAY_STOPPING)
        reason = self._limits.reason_against(
            open_tunnels=len(self._sessions) + self._starting.total(),
            of_user=self._sessions.count_of(user) + self._starting[user],
        )
        if reason:
            raise Refused(reason, code=Code.LIMIT_REACHED)

    async def _open_tunnel(self, plan: Plan) -> bytes:
        parameters = plan.genuine.parameters
        assert isinstance(parameters, TunnelParameters)
        asked = (parameters.target_host, parameters.target_port)
        target = choose_target(
            record=host_and_port(plan.record),
            tunnel_port=plan.settings.tunnel.remote_port,
            asked=asked,
            may_supply=plan.settings.allow_supply_host,
        )
        further = plan.settings.tunnel.further_ports()
        connector = TargetConnector(
            target, self._rule, further_ports=further, resolve=self._resolve
        )
        await connector.check_now()
        opened = open_offer(plan)
        far_end = connector if plan.genuine.command.action == START_TUNNEL else ProbeEnd()
        session = Session(opened.conversation, plan.rights, far_end, opened.keys, asked)
        prepared = await prepare_paths(self._paths, plan, opened, 1)
        try:
            await self._begin_once(plan, session, opened, prepared)
        except BaseException:
            await prepared.close()
            raise
        return prepared.answer(opened, str(far_end.target))

    async def _begin_once(
        self, plan: Plan, session: Session, opened: OpenOffer, prepared: Prepared
    ) -> None:
        """Begin the tunnel, unless its conversation has one, or another command is beginning it."""
        conversation = session.conversation
        if conversation in self._sessions or conversation in self._beginning:
            raise Refused("the conversation has a tunnel already", code=Code.COMMAND_REPLAYED)
        self._beginning.add(conversation)
        try:
            await self._commit(plan, session, Attempt(opened.conversation, opened.keys, prepared))
        finally:
            self._beginning.discard(conversation)

    async def _write_reason(self, plan: Plan, conversation: str) -> None:
        parameters = plan.genuine.parameters
        assert isinstance(parameters, TunnelParameters)
        if not (parameters.reason or parameters.ticket):
            return
        key = plan.record.record_key
        reason, ticket = (
            seal_value(key, conversation, clip(text)) if text else ""
            for text in (parameters.reason, parameters.ticket)
        )
        rights = plan.rights
        await self.write(
            TunnelReason(conversation, rights.user, rights.device, rights.record, reason, ticket)
        )

    async def _commit(self, plan: Plan, session: Session, attempt: Attempt) -> None:
        """Write the intent; then, if it still may be, let the tunnel begin."""
        target = session.target.target
        await self._write_reason(plan, session.conversation)
        await self.write(
            TunnelIntent(
                conversation=session.conversation,
                user=plan.rights.user,
                device=plan.rights.device,
                gateway=plan.rights.gateway,
                record=plan.rights.record,
                configuration=plan.rights.configuration,
                log_seq=self._follower.state.seq,
                target_host=seal_value(plan.record.record_key, session.conversation, target.host),
                target_port=target.port,
            )
        )
        # The log may have moved while the disk worked; nothing is awaited from here on.
        refusal = self._judge.judge_again(plan.rights)
        if refusal is None and self.is_draining:
            refusal = Refuse(Code.GATEWAY_STOPPING, "the gateway is shutting down")
        if refusal is not None:
            await self._sessions.tell_never_opened(session, refusal)
            enforce(refusal)
        self._sessions.open(session, attempt, self._follower.state)
        if isinstance(session.target, ProbeEnd) and session.end is not None:
            session.target.bound(session.end)
