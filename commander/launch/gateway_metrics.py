"""What a gateway's metrics and readiness say, read from its parts when asked."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from commander.gateway.audit import AuditOutbox
from commander.gateway.direct import DirectDoor
from commander.gateway.follower import LogFollower
from commander.gateway.limits import OUTBOX_BYTES, POLL_S
from commander.gateway.service import CommandService
from commander.metrics.definitions import Readings, tally
from commander.metrics.gateway import ACCEPTED, ARRIVALS, CALLS, ENDS, MISHAPS, PATHS
from commander.metrics.server import CODES

STALE_S = 6 * POLL_S
"""A log that was not read for so long is not fresh: five polls in a row have failed."""
_NEVER_S = 1e9
_NOT_ENDS = ("opened", "path-attempts", "paths-attached", "attached-not-audited")


class GatewayReadings:
    """Reads one gateway; tell `changed` when it comes online or goes offline."""

    def __init__(
        self,
        service: CommandService,
        follower: LogFollower,
        outbox: AuditOutbox,
        door: DirectDoor | None = None,
    ) -> None:
        self._service = service
        self._follower = follower
        self._outbox = outbox
        self._door = door
        self.is_online = False
        self.connections = 0

    def changed(self, *, is_online: bool) -> None:
        """Note whether the router is connected."""
        self.connections += is_online and not self.is_online
        self.is_online = is_online

    def read(self) -> Readings:
        """The values of `metrics.gateway.METRICS` that come from the gateway's parts."""
        sessions, service = self._service.sessions, self._service
        return {
            "commander_gateway_connected": float(self.is_online),
            "commander_gateway_connections_total": float(self.connections),
            "commander_gateway_commands_total": tally(
                service.counters, (ACCEPTED, "failed", *CODES), leave_out=MISHAPS
            ),
            "commander_gateway_mishaps_total": {
                (name,): float(service.counters[name]) for name in MISHAPS
            },
            "commander_gateway_tunnels_opened_total": float(sessions.counters["opened"]),
            "commander_gateway_tunnels_ended_total": tally(
                sessions.counters, ENDS, leave_out=_NOT_ENDS
            ),
            "commander_gateway_audit_queue_events": float(self._outbox.waiting),
            "commander_gateway_audit_queue_bytes": float(self._outbox.size_bytes),
            "commander_gateway_authority_log_age_seconds": self.log_age_s(),
            "commander_gateway_authority_log_position": float(self._follower.state.seq),
            **self._tunnels(),
            **self._direct(),
        }

    def _direct(self) -> Readings:
        door = self._door
        calls: Mapping[str, int] = door.calls if door is not None else {}
        reception = door.reception if door is not None else None
        arrivals: Mapping[str, int] = reception.counters if reception is not None else {}
        return {
            "commander_gateway_direct_calls_total": {
                (name,): float(calls.get(name, 0)) for name in CALLS
            },
            "commander_gateway_direct_arrivals_total": tally(arrivals, ARRIVALS),
        }

    def _tunnels(self) -> Readings:
        totals = self._service.sessions.totals
        ends = [session.end for session in self._service.sessions.all() if session.end]
        stats = [end.stats() for end in ends]
        paths = dict.fromkeys(PATHS, 0)
        for found in stats:
            paths[found.path_kind] = paths.get(found.path_kind, 0) + 1
        without_path = paths.pop("", 0)
        resuming = sum(end.is_interrupted for end in ends)
        to_target = totals.bytes_to_target + sum(found.bytes_in for found in stats)
        from_target = totals.bytes_from_target + sum(found.bytes_out for found in stats)
        return {
            "commander_gateway_tunnels": {
                ("opening",): float(without_path - resuming),
                ("open",): float(len(stats) - without_path),
                ("resuming",): float(resuming),
            },
            "commander_gateway_links": float(sum(len(end.links()) for end in ends)),
            "commander_gateway_tunnel_paths": tally(paths, PATHS),
            "commander_gateway_open_streams": float(sum(found.streams_open for found in stats)),
            "commander_gateway_streams_total": float(
                totals.streams + sum(found.streams_total for found in stats)
            ),
            "commander_gateway_streams_failed_total": float(totals.streams_failed),
            "commander_gateway_bytes_total": {
                ("to_target",): float(to_target),
                ("from_target",): float(from_target),
            },
            "commander_gateway_path_losses_total": tally(totals.path_losses, PATHS),
            "commander_gateway_resume_seconds": totals.resumes,
        }

    def log_age_s(self) -> float:
        """Seconds since the log was read to its end."""
        read_at = self._follower.read_at
        if read_at is None:
            return _NEVER_S
        return max(0.0, asyncio.get_running_loop().time() - read_at)

    async def not_ready(self) -> list[str]:
        """Why the gateway can't open tunnels now."""
        reasons = []
        if not self.is_online:
            reasons.append("not connected to the server")
        if self._follower.fork is not None:
            reasons.append("the authority log was rolled back or forked")
        elif self.log_age_s() > STALE_S:
            reasons.append(f"the authority log was not read for {STALE_S:g} s")
        if self._outbox.size_bytes >= OUTBOX_BYTES:
            reasons.append("the audit outbox is full")
        return reasons
