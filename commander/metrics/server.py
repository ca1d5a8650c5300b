"""The metrics of a server: backend and router. Pure."""

from __future__ import annotations

from commander.authority.refusals import Code
from commander.metrics.definitions import COMMON, OTHER, Kind, Metric

CODES = (*map(str, Code), OTHER)
ENDS = ("closed", "fenced", "no-hello", "peer-mistake", "slow-reader")
"""How a control socket ended: by the peer or us, by a second process, or for a fault of the peer."""
DELIVERED = "delivered"
STRANGER_ENDS = ("broken", "late", "pushed-out", "too-many", OTHER)
RELAY_ENDS = ("ended", "pair-timeout", OTHER)

METRICS: tuple[Metric, ...] = (
    *COMMON,
    Metric(
        "commander_router_connections", Kind.GAUGE,
        "Control WebSockets open now: devices (one for each process of a user) and gateways.",
        {"kind": ("device", "gateway")},
    ),
    Metric(
        "commander_router_connections_ended_total", Kind.COUNTER,
        "Control WebSockets that ended, by cause; slow-reader did not read what was sent to it.",
        {"cause": ENDS},
    ),
    Metric(
        "commander_router_upgrades_refused_total", Kind.COUNTER,
        "WebSocket upgrades refused, by refusal code.",
        {"code": CODES},
    ),
    Metric(
        "commander_router_messages_delivered_total", Kind.COUNTER,
        "Sealed messages passed on between devices and gateways.",
    ),
    Metric(
        "commander_router_messages_refused_total", Kind.COUNTER,
        "Messages not passed on, by refusal code; gateway-offline says that somebody waits for a gateway.",
        {"code": CODES},
    ),
    Metric(
        "commander_router_conversations", Kind.GAUGE,
        "Pairs of device and gateway that may write to each other now.",
    ),
    Metric("commander_relay_sockets", Kind.GAUGE, "Relay connections open now, streams and WebSockets, paired or waiting."),
    Metric(
        "commander_relay_pairs", Kind.GAUGE, "Tunnel paths that go through this server's relay now."
    ),
    Metric(
        "commander_relay_pairings_total", Kind.COUNTER, "Relay paths whose two sides found each other."
    ),
    Metric(
        "commander_relay_sockets_ended_total", Kind.COUNTER,
        "Relay connections that ended, by cause; pair-timeout waited in vain for the other side.",
        {"cause": RELAY_ENDS},
    ),
    Metric(
        "commander_relay_strangers_total", Kind.COUNTER,
        "Relay streams given up before they were let in: a broken or late prefix, too many, or refused.",
        {"cause": STRANGER_ENDS},
    ),
    Metric(
        "commander_relay_bytes_total", Kind.COUNTER,
        "Sealed bytes copied by the relay, both directions together.",
    ),
    Metric(
        "commander_api_answers_total", Kind.COUNTER,
        "Calls of clients and gateways answered, by refusal code; ok for those that were carried out.",
        {"code": ("ok", *CODES)},
    ),
    Metric(
        "commander_store_errors_total", Kind.COUNTER,
        "Times that the database could not be read or written; any increase needs a look at the log.",
    ),
    Metric(
        "commander_authority_log_position", Kind.GAUGE,
        "Number of the last signed statement of the authority log.",
    ),
)  # fmt: skip
