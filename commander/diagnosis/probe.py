"""One probe tunnel over one kind of path: opened as a real one, measured, and ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from commander.api.client import Api
from commander.api.socket import RouterSocket
from commander.clock import Clock
from commander.diagnosis.measure import Measured, measure
from commander.diagnosis.steps import Outcome
from commander.hosting.attempt import Attempt, first_verified
from commander.hosting.conversation import Accepted, Position, TunnelRequest, ask_gateway
from commander.hosting.paths import KINDS, PathNetwork
from commander.tunnel.codes import CloseCode, Role
from commander.tunnel.engine import TunnelEnd
from commander.wire.commands import PROBE_TUNNEL

MEBIBYTE = 1024 * 1024


class Prober:
    """Opens probe tunnels to one record's gateway."""

    def __init__(
        self,
        request: TunnelRequest,
        router: RouterSocket,
        *,
        api: Api,
        environment: Mapping[str, str],
        position: Callable[[], Position],
        clock: Clock,
    ) -> None:
        self._request = request
        self._router = router
        self._api = api
        self._environment = environment
        self._position = position
        self._clock = clock

    async def probe(self, kind: str, *, timeout_s: float) -> Outcome:
        """
        Measure one kind of path; give the whole of it a deadline as well.

        Raises what a start raises: Refused, Unreachable, TimedOut, Tampered.
        """
        network = PathNetwork(self._api, self._environment, KINDS)
        attempt = await Attempt.begin((kind,), network, 1)
        try:
            accepted = await ask_gateway(
                self._request,
                attempt.offer,
                self._router,
                position=self._position,
                clock=self._clock,
                timeout_s=timeout_s,
                action=PROBE_TUNNEL,
            )
            return await self._measure(attempt, accepted)
        finally:
            await attempt.close()

    async def _measure(self, attempt: Attempt, accepted: Accepted) -> Outcome:
        end = TunnelEnd(Role.CLIENT, accepted.keys, clock=self._clock)
        try:
            await first_verified(attempt.attach(end, accepted))
            return describe(await measure(end))
        finally:
            await end.close(CloseCode.STOPPED, "measured")
            accepted.keys.wipe()


def describe(measured: Measured) -> Outcome:
    """Figures for people and numbers for scripts. Pure."""
    out, back = measured.to_gateway / MEBIBYTE, measured.from_gateway / MEBIBYTE
    return Outcome(
        f"round trip {measured.rtt_ms:.1f} ms, {out:.0f} MiB/s out, {back:.0f} MiB/s in",
        values={
            "round_trip_ms": round(measured.rtt_ms, 2),
            "bytes_per_s_out": round(measured.to_gateway),
            "bytes_per_s_in": round(measured.from_gateway),
        },
    )
