"""The checks of who you are and what you may: login, session, record, switches, policy."""

from __future__ import annotations

from commander.authority.decide import Action, Refuse, decide, has_policy
from commander.clock import iso_utc
from commander.diagnosis.report import State
from commander.diagnosis.steps import Outcome, Skipped, Step
from commander.errors import NotAllowed
from commander.hosting.ends import explain_end
from commander.plugin.context import Context
from commander.vault.unlock import resume_login
from commander.wire.calls import SESSION, Empty
from commander.wire.pam import ConfigurationSettings
from plugins.pam.tunnel.request import Plan, Wanted, plan_tunnel

POLICY = "ALLOW_LAUNCH_PAM_TUNNELS"
ENDS_SOON_S = 3600


class Access:
    """Checks that need the vault, and the plan of the tunnel they lead to."""

    def __init__(self, context: Context, record: str) -> None:
        self._context = context
        self._wanted = record
        self._plan: Plan | None = None

    def first_steps(self) -> list[Step]:
        """What is known without the server."""
        return [Step("login", "Login on this machine", self._login)]

    def session_steps(self) -> list[Step]:
        """What the server says of the login."""
        return [Step("session", "Session at the server", self._session, ("login", "server"), 20.0)]

    def record_steps(self) -> list[Step]:
        """What the vault says of the record; the gateway judges all of it again."""
        return [
            Step("record", "Record and its switches", self._record, ("session",)),
            Step("policy", "Policy decision here", self._policy, ("session",)),
        ]

    def plan(self) -> Plan:
        """The tunnel that would be asked for. Raises Skipped when there is none."""
        if self._plan is None:
            raise Skipped("needs: Record and its switches")
        return self._plan

    async def _login(self) -> Outcome:
        context = self._context
        if context.is_logged_in:
            device = context.vault.login.device
        else:
            device = resume_login(context.paths, context.clock).device
        return Outcome(
            f"{device.email} on {device.name}",
            values={"user": device.user, "device": device.device},
        )

    async def _session(self) -> Outcome:
        context = self._context
        await context.require_login()
        state = await context.api.call(SESSION, Empty(), timeout_s=10.0)
        await context.vault.refresh(max_age_s=0)
        left_s = state.expires - context.clock.now()
        figure = f"until {iso_utc(state.expires)}"
        if left_s < ENDS_SOON_S:
            return Outcome(
                figure, State.WARN, "it ends soon", "log in again: commander login", "session-ends"
            )
        return Outcome(figure, values={"expires": iso_utc(state.expires)})

    async def _record(self) -> Outcome:
        vault = self._context.vault
        base = self._context.location.folder
        plan = plan_tunnel(vault, Wanted(self._wanted), base=base)
        configuration = vault.settings(plan.settings.configuration)
        if isinstance(configuration, ConfigurationSettings) and not configuration.is_on(
            "tunneling"
        ):
            raise NotAllowed(
                "the record's PAM configuration has tunneling off",
                hint=explain_end("tunneling-off").hint,
                code="tunneling-off",
            )
        self._plan = plan
        return Outcome(
            f"{plan.record.data.title} at {plan.request.remote}",
            values={"record": plan.record.uid, "remote": plan.request.remote},
        )

    async def _policy(self) -> Outcome:
        vault, now = self._context.vault, self._context.clock.now()
        if self._plan is None:
            if has_policy(vault.state, vault.user, POLICY):
                return Outcome("your roles let you launch tunnels")
            raise self._refused("policy-missing", f"no role of yours grants {POLICY}")
        folder = self._plan.record.domain
        decision = decide(vault.state, vault.device, Action.LAUNCH_TUNNEL, folder, now=now)
        if isinstance(decision, Refuse):
            raise self._refused(str(decision.code), decision.reason)
        return Outcome("you may launch tunnels to it")

    def _refused(self, code: str, reason: str) -> NotAllowed:
        return NotAllowed(reason, hint=explain_end(code, record=self._wanted).hint, code=code)
