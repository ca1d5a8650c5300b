"""The checks of what WebRTC paths need: STUN, TURN, and UDP getting out at all."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from commander.api.tls import turn_context
from commander.diagnosis.report import State
from commander.diagnosis.steps import Outcome, Skipped, Step
from commander.errors import NotAllowed, Unreachable
from commander.plugin.context import Context
from commander.tunnel.transports.ice import find_options
from commander.wire.calls import ICE, Empty
from commander.wire.ice import IceUrl, parse_ice_url

if TYPE_CHECKING:
    from commander.tunnel.transports.webrtc_probe import ServerReport

_UDP_ADVICE = (
    "tunnels go through the server's relay; for WebRTC behind such a firewall: "
    "commander-server start --turn-url turns:HOST:5349"
)


class Relays:
    """Asks each STUN and TURN server once; nothing of the credentials is shown."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._reports: list[tuple[IceUrl, ServerReport]] = []
        self._is_asked = False

    def steps(self) -> list[Step]:
        """One row each for STUN, TURN and UDP; none of them is needed for a tunnel through the relay."""
        return [
            Step("stun", "STUN servers", self._stun, ("session",), 20.0),
            Step("turn", "TURN relays", self._turn, ("session",), 20.0),
            Step("udp", "UDP out", self._udp, ("session",), 20.0),
        ]

    async def _ask(self) -> None:
        if self._is_asked:
            return
        api = self._context.api
        try:
            options = await find_options(
                lambda: api.call(ICE, Empty()), relay_only=False, tls=turn_context(api.server.ca)
            )
        except Unreachable as error:
            if isinstance(error.__cause__, NotAllowed):
                raise Skipped("the server names its relays only to those who may launch") from None
            raise
        if options.ice_servers:
            # aiortc costs a second and 60 MiB: loaded only where a server is to be asked.
            module = importlib.import_module("commander.tunnel.transports.webrtc_probe")
            reports: Sequence[ServerReport] = await module.probe_servers(options)
            self._reports = [(parse_ice_url(report.url), report) for report in reports]
        self._is_asked = True

    async def _stun(self) -> Outcome:
        await self._ask()
        found = [report for url, report in self._reports if not url.is_turn]
        return judge(found, "stun", "--stun-url stun:HOST:3478")

    async def _turn(self) -> Outcome:
        await self._ask()
        found = [report for url, report in self._reports if url.is_turn]
        return judge(found, "turn", "--turn-url turn:HOST:3478")

    async def _udp(self) -> Outcome:
        await self._ask()
        found = [report for url, report in self._reports if url.transport == "udp"]
        if not found:
            raise Skipped("no STUN or TURN server is configured to try it with")
        if any(report.is_working for report in found):
            return Outcome("gets out", values={"works": True})
        return Outcome(
            "", State.WARN, "no answer over UDP: a firewall on the way blocks it, or the servers are down",
            _UDP_ADVICE, "udp-blocked", values={"works": False},
        )  # fmt: skip


def judge(reports: Sequence[ServerReport], what: str, option: str) -> Outcome:
    """One row for several servers: fine when all work, a warning with their reasons when not."""
    if not reports:
        raise Skipped("not configured", hint=f"commander-server start {option}")
    figures = [
        f"{report.url} in {report.seconds * 1000:.0f} ms" for report in reports if report.is_working
    ]
    failures = [f"{report.url}: {report.reason}" for report in reports if not report.is_working]
    values = {"working": len(figures), "asked": len(reports)}
    if not failures:
        return Outcome("; ".join(figures), values=dict(values))
    return Outcome(
        "; ".join(figures), State.WARN, "; ".join(failures),
        f"look at those servers, and at commander-server start {option}",
        f"{what}-no-answer", values=dict(values),
    )  # fmt: skip
