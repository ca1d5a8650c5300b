"""`tunnel.check`: connect a record's target once, and say how that went; for `pam tunnel diagnose`."""

from __future__ import annotations

import asyncio

from commander.audit.events import TargetCheck
from commander.audit.sealed import seal_value
from commander.authority.refusals import Code
from commander.clock import Clock
from commander.codec import encode
from commander.errors import Refused
from commander.gateway.commands import Genuine
from commander.gateway.follower import LogFollower
from commander.gateway.judging import Judge, Plan, enforce, host_and_port
from commander.gateway.limits import StartLimits
from commander.gateway.offers import open_offer
from commander.gateway.sessions import WriteEvent
from commander.gateway.targets import (
    Resolve,
    TargetConnector,
    TargetRule,
    choose_target,
    resolve_name,
)
from commander.tunnel.codes import StreamRefused
from commander.wire.commands import CheckAnswer, TunnelParameters


class TargetChecker:
    """
    Checks targets for those who may start a tunnel to them, by the same rules.

    The connection is closed as soon as it is there: nothing is sent, and nothing that the target
    says is read.
    """

    def __init__(
        self,
        judge: Judge,
        *,
        follower: LogFollower,
        rule: TargetRule,
        write: WriteEvent,
        limits: StartLimits,
        clock: Clock,
        resolve: Resolve = resolve_name,
    ) -> None:
        self._judge = judge
        self._follower = follower
        self._rule = rule
        self._write = write
        self._limits = limits
        self._clock = clock
        self._resolve = resolve

    async def check(self, genuine: Genuine) -> bytes:
        """Judge a command and connect; the sealed answer. Raises Refused."""
        if not self._limits.may_check(genuine.user, self._clock.monotonic()):
            raise Refused("too many checks; try again in a minute", code=Code.LIMIT_REACHED)
        plan = await self._judge.judge(genuine)
        connector = self._connector(plan)
        await connector.check_now()
        opened = open_offer(plan)
        await self._tell(plan, connector)
        # The log may have moved while the disk worked.
        enforce(self._judge.judge_again(plan.rights))
        return opened.signalling.seal(encode(await self._connect(connector)))

    def _connector(self, plan: Plan) -> TargetConnector:
        parameters = plan.genuine.parameters
        assert isinstance(parameters, TunnelParameters)
        target = choose_target(
            record=host_and_port(plan.record),
            tunnel_port=plan.settings.tunnel.remote_port,
            asked=(parameters.target_host, parameters.target_port),
            may_supply=plan.settings.allow_supply_host,
        )
        return TargetConnector(target, self._rule, resolve=self._resolve)

    async def _tell(self, plan: Plan, connector: TargetConnector) -> None:
        rights, conversation = plan.rights, plan.genuine.command.conversation
        target = connector.target
        await self._write(
            TargetCheck(
                conversation=conversation,
                user=rights.user,
                device=rights.device,
                gateway=rights.gateway,
                record=rights.record,
                configuration=rights.configuration,
                log_seq=self._follower.state.seq,
                target_host=seal_value(plan.record.record_key, conversation, target.host),
                target_port=target.port,
            )
        )

    async def _connect(self, connector: TargetConnector) -> CheckAnswer:
        loop = asyncio.get_running_loop()
        began = loop.time()
        code = ""
        try:
            await connector(b"", _Hangup)
        except StreamRefused as refusal:
            code = refusal.reset_code.label
        return CheckAnswer(code, max(0, round((loop.time() - began) * 1000)))


class _Hangup(asyncio.Protocol):
    """Closes a connection that was made."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()
