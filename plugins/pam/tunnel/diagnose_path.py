"""The checks of what carries a tunnel: WebSocket, relays, gateway, target, and real probe tunnels."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack
from functools import partial

from commander import __version__
from commander.api.relay import open_stream
from commander.api.socket import RouterSocket
from commander.authority.refusals import Code
from commander.clock import iso_utc
from commander.diagnosis.probe import Prober
from commander.diagnosis.report import State
from commander.diagnosis.steps import Outcome, Skipped, Step
from commander.errors import NotFound, Refused, TimedOut, Unreachable
from commander.hosting.conversation import Position, ask, read_answer
from commander.hosting.ends import explain_end
from commander.hosting.paths import KINDS
from commander.ids import new_uid
from commander.plugin.context import Context
from commander.tunnel.path import KIND_TURN
from commander.wire.calls import GATEWAYS, Empty
from commander.wire.commands import CHECK_TARGET, CheckAnswer, Offer
from commander.wire.pam import ConfigurationSettings
from plugins.pam.tunnel.diagnose_access import Access
from plugins.pam.tunnel.request import position_of

ANSWER_S = 20.0
PROBE_S = 30.0
PROBE = "path-"
_NEEDS = {KIND_TURN: ("turn",)}
_TARGETS = {
    "target-refused": "start the service, or correct host and port: record-update",
    "target-unreachable": "is the target's machine up, and reachable from the gateway's network?",
    "target-timed-out": "a firewall between gateway and target may drop the connection",
    "target-name-unknown": "correct the host: record-update; the gateway's resolver decides",
    "not-allowed": "the gateway's owner can allow the address: gateway start --allow-target CIDR",
}


class Paths:
    """Checks that use the network as a tunnel would; `stack` closes what they open."""

    def __init__(self, context: Context, access: Access, stack: AsyncExitStack) -> None:
        self._context = context
        self._access = access
        self._stack = stack
        self._router: RouterSocket | None = None
        self._answer: CheckAnswer | None = None

    def server_steps(self) -> list[Step]:
        """From here to the server."""
        return [
            Step("websocket", "WebSocket to the router", self._websocket, ("session",), 20.0),
            Step("relay-stream", "Relay streams", self._relay_stream, ("session",), 15.0),
        ]

    def gateway_steps(self) -> list[Step]:
        """From the server to the gateway and its target."""
        return [
            Step("gateway", "Gateway online", self._gateway, ("record",), 15.0),
            Step(
                "decision", "The gateway's decision", self._decision,
                ("websocket", "gateway"), ANSWER_S + 5,
            ),
            Step("target", "Target from the gateway", self._target, ("decision",)),
        ]  # fmt: skip

    def probe_steps(self) -> list[Step]:
        """A real tunnel through each kind of path, to the gateway itself."""
        return [
            Step(
                f"{PROBE}{kind}", f"Probe through {kind}", partial(self._probe, kind),
                ("decision", *_NEEDS.get(kind, ())), PROBE_S + 5,
            )
            for kind in KINDS
        ]  # fmt: skip

    # --- server ----------------------------------------------------------------------------------

    async def _websocket(self) -> Outcome:
        context = self._context
        router = RouterSocket(
            context.api, os.environ, clock=context.clock, version=__version__, name="diagnose"
        )
        self._stack.push_async_callback(router.close)
        loop = asyncio.get_running_loop()
        began = loop.time()
        router.start()
        await router.wait_connected(timeout_s=15.0)
        self._router = router
        took = (loop.time() - began) * 1000
        return Outcome(f"open in {took:.0f} ms", values={"open_ms": round(took)})

    async def _relay_stream(self) -> Outcome:
        """Knock with a conversation that nobody has: the router's own refusal shows that it listens."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            stream = await open_stream(self._context.api, os.environ, new_uid())
            stream.transport.abort()
        except NotFound:
            took = (loop.time() - began) * 1000
            return Outcome(f"offered, {took:.0f} ms", values={"open_ms": round(took)})
        except (Unreachable, TimedOut) as error:
            return Outcome(
                "", State.WARN, error.message,
                "the relay goes by WebSocket then, which is slower; what is in front of the server "
                "must let ALPN through", "relay-stream-missing",
            )  # fmt: skip
        return Outcome("offered")

    # --- gateway ---------------------------------------------------------------------------------

    async def _gateway(self) -> Outcome:
        gateway = self._access.plan().request.gateway
        answer = await self._context.api.call(GATEWAYS, Empty(), timeout_s=10.0)
        row = next((row for row in answer.gateways if row.gateway == gateway), None)
        if row is not None and not row.online:
            raise Unreachable(
                f"gateway {gateway} is not connected to the server",
                hint="on its machine: gateway status, then gateway start",
                code=str(Code.GATEWAY_OFFLINE),
            )
        if row is None:
            # Whoever only shares the record does not see the gateway's application.
            return Outcome("not visible to you; its answer tells", values={"gateway": gateway})
        figure = f"version {row.version}, connected since {iso_utc(row.connected_at)}"
        values: dict[str, str | int | float | bool | None] = {
            "gateway": gateway,
            "version": row.version,
        }
        if row.version != __version__:
            return Outcome(
                figure, State.WARN, f"this program is version {__version__}",
                "bring both to one version", "version-differs", values=values,
            )  # fmt: skip
        return Outcome(figure, values=values)

    async def _decision(self) -> Outcome:
        """Ask the gateway to check the target: it judges that as it would a start."""
        plan = self._access.plan()
        try:
            agreed = await ask(
                plan.request,
                CHECK_TARGET,
                plan.request.parameters,
                Offer((), b""),
                self._need_router(),
                position=self._position,
                clock=self._context.clock,
                timeout_s=ANSWER_S,
            )
        except Refused as refused:
            hint = explain_end(refused.code, record=plan.record.data.title).hint
            raise Refused(refused.message, code=refused.code, hint=hint) from None
        self._answer = read_answer(CheckAnswer, agreed, plan.request)
        return Outcome("it would open the tunnel")

    async def _target(self) -> Outcome:
        answer, remote = self._answer, self._access.plan().request.remote
        if answer is None:
            raise Skipped("needs: The gateway's decision")
        if not answer.code:
            return Outcome(
                f"{remote} in {answer.connect_ms} ms", values={"connect_ms": answer.connect_ms}
            )
        raise Unreachable(
            f"the gateway cannot connect {remote}",
            hint=_TARGETS.get(answer.code, "look at the gateway's log"),
            code=answer.code,
        )

    # --- probes ----------------------------------------------------------------------------------

    async def _probe(self, kind: str) -> Outcome:
        plan = self._access.plan()
        self._check_allowed(kind)
        prober = Prober(
            plan.request,
            self._need_router(),
            api=self._context.api,
            environment=os.environ,
            position=self._position,
            clock=self._context.clock,
        )
        return await prober.probe(kind, timeout_s=ANSWER_S)

    def _check_allowed(self, kind: str) -> None:
        settings = self._access.plan().settings
        configuration = self._context.vault.settings(settings.configuration)
        if settings.paths and kind not in settings.paths:
            raise Skipped(f"the record allows {', '.join(settings.paths)} only")
        if (
            isinstance(configuration, ConfigurationSettings)
            and configuration.paths
            and kind not in configuration.paths
        ):
            raise Skipped(f"the PAM configuration allows {', '.join(configuration.paths)} only")

    def _need_router(self) -> RouterSocket:
        if self._router is None:
            raise Skipped("needs: WebSocket to the router")
        return self._router

    def _position(self) -> Position:
        return position_of(self._context.vault)
