"""The metrics of a gateway. Pure."""

from __future__ import annotations

from commander.authority.refusals import Code
from commander.metrics.definitions import COMMON, OTHER, Kind, Metric
from commander.metrics.server import CODES

ENDS = (
    "stopped", "going-away", "protocol-error", "hello-failed", "path-lost", "idle", "expired",
    "revoked", "limit", "internal", *map(str, Code), OTHER,
)  # fmt: skip
"""Why a tunnel ended: a close code of the tunnel, or the refusal that took its right away."""
PATHS = ("direct", "relay", "turn", "webrtc", OTHER)
MISHAPS = ("undeliverable", "dropped", "replies-lost", "refusals-not-audited")
ACCEPTED = "accepted"
ARRIVALS = ("let-in", "unproven", "late", "pushed-out", OTHER)
CALLS = ("made", "over-the-rate")

METRICS: tuple[Metric, ...] = (
    *COMMON,
    Metric(
        "commander_gateway_connected", Kind.GAUGE,
        "1 while the gateway is connected to its server's router, else 0.",
    ),
    Metric(
        "commander_gateway_connections_total", Kind.COUNTER,
        "Times that the gateway got connected to its server.",
    ),
    Metric(
        "commander_gateway_commands_total", Kind.COUNTER,
        "Commands judged, by refusal code; accepted for those that were carried out.",
        {"code": (ACCEPTED, "failed", *CODES)},
    ),
    Metric(
        "commander_gateway_mishaps_total", Kind.COUNTER,
        "Messages dropped for too many at once, replies that reached nobody, refusals not audited.",
        {"what": MISHAPS},
    ),
    Metric(
        "commander_gateway_tunnels", Kind.GAUGE,
        "Tunnels held now: those whose first path comes up, open ones, and those that wait for a path "
        "to come back.",
        {"state": ("opening", "open", "resuming")},
    ),
    Metric(
        "commander_gateway_links", Kind.GAUGE,
        "Connections that carry tunnels now; a direct path has several.",
    ),
    Metric("commander_gateway_tunnels_opened_total", Kind.COUNTER, "Tunnels begun."),
    Metric(
        "commander_gateway_tunnels_ended_total", Kind.COUNTER,
        "Tunnels ended, by close code or the refusal that ended them.",
        {"code": ENDS},
    ),
    Metric(
        "commander_gateway_tunnel_paths", Kind.GAUGE,
        "Tunnels by the kind of path that carries them now.",
        {"kind": PATHS},
    ),
    Metric(
        "commander_gateway_direct_calls_total", Kind.COUNTER,
        "Connections opened towards clients for direct paths, four a path; over-the-rate ones were not.",
        {"result": CALLS},
    ),
    Metric(
        "commander_gateway_direct_arrivals_total", Kind.COUNTER,
        "Connections at the --direct-listen port: clients let in, and strangers dropped, by cause.",
        {"result": ARRIVALS},
    ),
    Metric("commander_gateway_open_streams", Kind.GAUGE, "TCP connections inside tunnels now."),
    Metric(
        "commander_gateway_streams_total", Kind.COUNTER, "TCP connections opened inside tunnels."
    ),
    Metric(
        "commander_gateway_streams_failed_total", Kind.COUNTER,
        "TCP connections that the target or the gateway's rules refused, or that did not get through.",
    ),
    Metric(
        "commander_gateway_bytes_total", Kind.COUNTER,
        "Bytes carried, by direction, as the targets see them.",
        {"direction": ("to_target", "from_target")},
    ),
    Metric(
        "commander_gateway_path_losses_total", Kind.COUNTER,
        "Paths lost under tunnels, by kind; the tunnels resume where another path comes up.",
        {"kind": PATHS},
    ),
    Metric(
        "commander_gateway_resume_seconds", Kind.HISTOGRAM,
        "How long interrupted tunnels were without any path until they resumed.",
    ),
    Metric(
        "commander_gateway_audit_queue_events", Kind.GAUGE,
        "Audit events on this gateway's disk that the server does not have yet.",
    ),
    Metric(
        "commander_gateway_audit_queue_bytes", Kind.GAUGE,
        "Size of the audit outbox; at 64 MiB no tunnel is opened any more.",
    ),
    Metric(
        "commander_gateway_authority_log_age_seconds", Kind.GAUGE,
        "Seconds since the server last told the whole authority log; rights are judged by it.",
    ),
    Metric(
        "commander_gateway_authority_log_position", Kind.GAUGE,
        "Number of the last signed statement that the gateway knows.",
    ),
)  # fmt: skip
