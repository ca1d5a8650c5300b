"""`pam tunnel show`: all that is known of one tunnel, open or ended, and what to type next."""

from __future__ import annotations

from commander.hosting.ends import explain_end
from commander.hosting.host import hosting_of
from commander.hosting.hosted import RESUME_S
from commander.hosting.journal import CLOSED, OPENED, Follower, Value
from commander.hosting.model import TunnelInfo, match_tunnels
from commander.plugin.command import Arguments
from commander.plugin.context import Context
from commander.plugin.results import Column, Document, Plain, Shape, Table
from commander.tunnel.reports import TunnelLimits
from plugins.pam.tunnel.listing import COLUMNS, one_tunnel, row_of, time_text
from plugins.pam.tunnel.logs import ended_logs

_STREAMS = (
    Column("stream"),
    Column("program"),
    Column("pid", "PID"),
    Column("uid", "UID"),
    Column("from", detail=True),
    Column("since", shape=Shape.TIME),
    Column("bytes_in", "In", Shape.SIZE),
    Column("bytes_out", "Out", Shape.SIZE),
    Column("state"),
)
_LINKS = (
    Column("path"),
    Column("generation"),
    Column("group"),
    Column("preferred", "In use"),
    Column("rtt", "RTT"),
    Column("rtt_ms", detail=True),
    Column("since", shape=Shape.TIME),
    Column("bytes_in", "In", Shape.SIZE),
    Column("bytes_out", "Out", Shape.SIZE),
)
_LIMITS = TunnelLimits()


async def show_tunnel(context: Context, arguments: Arguments) -> Document:
    """Show an open tunnel with its streams, or how one ended that is open no more."""
    hosting = hosting_of(context.tunnels)
    wanted = arguments.text("tunnel")
    if not match_tunnels(wanted, await hosting.list_all()):
        ended = await _describe_ended(context, wanted)
        if ended is not None:
            return ended
    tunnel = await hosting.show(await one_tunnel(hosting, wanted))
    return describe_tunnel(tunnel, context.clock.now())


def describe_tunnel(tunnel: TunnelInfo, now: float) -> Document:
    """An open tunnel: its row in `list`, then what only `show` tells."""
    values: dict[str, Plain] = dict(row_of(tunnel, now))
    values |= {
        "reason": tunnel.reason,
        "generation": tunnel.generation,
        "name": tunnel.name or tunnel.local_name,
        "file": tunnel.file,
        "also": [
            f"{port.host}:{port.port}" + (f" to {port.remote_port}" if port.remote_port else "")
            for port in tunnel.also
        ],
        "refused": tunnel.refused,
        "refused_uids": list(tunnel.refused_uids),
        "limits": {
            "streams": _LIMITS.mux.max_streams,
            "undelivered_bytes": _LIMITS.mux.receive_budget,
            "unsent_bytes": _LIMITS.mux.send_budget,
        },
        "next": next_step(tunnel),
    }
    shapes = {column.key: column.shape for column in COLUMNS}
    return Document(
        values,
        title=tunnel.title,
        shapes=shapes,
        tables={
            "links": Table(_LINKS, _link_rows(tunnel), title="Paths", empty="No path now."),
            "open_streams": Table(
                _STREAMS, _stream_rows(tunnel), title="Streams", empty="No open streams."
            ),
        },
    )


def next_step(tunnel: TunnelInfo) -> str:
    """What to type next, by the state the tunnel is in."""
    if tunnel.interrupted_s is not None:
        left_min = max(0, int(RESUME_S - tunnel.interrupted_s)) // 60
        return (
            f"nothing: it comes back by itself for another {left_min} min; "
            f"pam tunnel diagnose {tunnel.record} tells what is in the way"
        )
    if tunnel.refused:
        return f"pam tunnel tail {tunnel.tunnel} shows who was refused"
    return f"pam tunnel tail {tunnel.tunnel}"


def _link_rows(tunnel: TunnelInfo) -> list[dict[str, Plain]]:
    return [
        {
            "path": link.path,
            "generation": link.generation,
            "group": link.group,
            "preferred": link.preferred,
            "rtt": time_text(link.rtt_ms),
            "rtt_ms": None if link.rtt_ms is None else round(link.rtt_ms, 1),
            "since": link.since,
            "bytes_in": link.bytes_in,
            "bytes_out": link.bytes_out,
        }
        for link in tunnel.links
    ]


def _stream_rows(tunnel: TunnelInfo) -> list[dict[str, Plain]]:
    return [
        {
            "stream": stream.stream,
            "program": stream.program or "?",
            "pid": stream.pid or None,
            "uid": None if stream.uid < 0 else stream.uid,
            "from": stream.address,
            "since": stream.since,
            "bytes_in": stream.bytes_in,
            "bytes_out": stream.bytes_out,
            "state": stream.state,
        }
        for stream in tunnel.streams
    ]


async def _describe_ended(context: Context, wanted: str) -> Document | None:
    """The end of a tunnel by its log; None when no log, or several, fit."""
    logs = await ended_logs(context, wanted)
    if len(logs) != 1:
        return None
    follower = Follower(logs[0])
    try:
        entries = list(follower.new_lines())
    finally:
        follower.close()
    opened = _last(entries, OPENED)
    closed = _last(entries, CLOSED)
    code = str(closed.get("code", "host-lost"))
    # The log has no titles: they are secrets of the vault.
    record = str(opened.get("record") or "")
    ending = explain_end(code, str(closed.get("reason", "")), record=record)
    return Document(
        {
            "tunnel_id": logs[0].stem,
            "record_uid": opened.get("record"),
            "status": "closed",
            "opened": opened.get("time"),
            "ended": closed.get("time"),
            "code": ending.code,
            "reason": ending.sentence,
            "connections": sum(entry.get("event") == "accept" for entry in entries),
            "refused": sum(entry.get("event") == "refused" for entry in entries),
            "next": ending.hint,
        },
        title=record,
    )


def _last(entries: list[dict[str, Value]], event: str) -> dict[str, Value]:
    return next((entry for entry in reversed(entries) if entry.get("event") == event), {})
