"""`ice`: STUN and TURN servers for one WebRTC path, with credentials of ten minutes."""

from __future__ import annotations

from commander.authority.decide import has_policy
from commander.authority.refusals import Code
from commander.backend.core import Caller, Core
from commander.backend.services.sync import decide_alive
from commander.errors import Refused
from commander.wire.calls import Empty, IceAnswer

_LAUNCH = "ALLOW_LAUNCH_PAM_TUNNELS"


async def ice_servers(core: Core, caller: Caller, request: Empty) -> IceAnswer:
    """
    Answer gateways, and devices whose user may start tunnels at all.

    A relay costs its owner bandwidth, so how often one caller gets credentials is limited.
    """
    if caller.kind == "device":
        decide_alive(core.state, caller)
        if not has_policy(core.state, caller.user, _LAUNCH):
            raise Refused(
                f"no role of {caller.user} grants {_LAUNCH}",
                code=Code.POLICY_MISSING,
                hint="an administrator grants it: enterprise-role edit",
            )
    core.guards.relays.check(caller.principal, core.clock.now())
    return core.relays.answer(now=core.now())
