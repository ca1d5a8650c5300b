"""`pam tunnel list` and `stop`: tunnels of this process and of the user's others."""

from __future__ import annotations

from commander.errors import Conflict, NotFound, UsageError
from commander.hosting.host import Hosting, hosting_of
from commander.hosting.model import TunnelInfo, match_tunnels
from commander.plugin.command import Arguments
from commander.plugin.context import Context
from commander.plugin.results import Column, Done, Plain, Shape, Table
from plugins.pam.tunnel.endpoint import local_address

COLUMNS = (
    Column("record", "Record"),
    Column("remote", "Remote"),
    Column("local", "Local"),
    Column("path", "Path"),
    Column("status_text", "Status"),
    Column("up", "Up", Shape.DURATION),
    Column("streams", "Streams"),
    Column("bytes_in", "In", Shape.SIZE),
    Column("bytes_out", "Out", Shape.SIZE),
    Column("rtt", "RTT"),
    Column("tunnel_id", "Tunnel ID"),
    Column("rtt_ms", detail=True),
    Column("status", detail=True),
    Column("interrupted_s", shape=Shape.DURATION, detail=True),
    Column("interruptions", detail=True),
    Column("record_uid", detail=True),
    Column("conversation_id", detail=True),
    Column("gateway_uid", detail=True),
    Column("streams_total", detail=True),
    Column("pid", "PID", detail=True),
    Column("mode", detail=True),
    Column("name", detail=True),
    Column("file", detail=True),
    Column("since", shape=Shape.TIME, detail=True),
)
# Of the tunnels of a file; here, because a start needs them where nothing of the file is read.
SET_COLUMNS = (
    Column("name"),
    Column("record"),
    Column("remote"),
    Column("local"),
    Column("path"),
    Column("state"),
    Column("tunnel_id", detail=True),
    Column("line", detail=True),
    Column("code", detail=True),
    Column("error", detail=True),
    Column("hint", detail=True),
    Column("exit_code", detail=True),
)


async def list_tunnels(context: Context, arguments: Arguments) -> Table:
    """List all open tunnels."""
    tunnels = await hosting_of(context.tunnels).list_all()
    now = context.clock.now()
    rows = [row_of(tunnel, now) for tunnel in sorted(tunnels, key=lambda t: (t.title, t.since))]
    return Table(COLUMNS, rows, empty="No tunnels are open.")


async def stop_tunnels(context: Context, arguments: Arguments) -> Done:
    """Stop one tunnel, all of a record, or all."""
    hosting = hosting_of(context.tunnels)
    wanted, everything = arguments.text_or_none("tunnel"), arguments.flag("all")
    if wanted is None and not everything:
        raise UsageError("name a tunnel, or give --all", hint="pam tunnel list shows them")
    tunnels = await hosting.list_all()
    found = tunnels if wanted is None else match_tunnels(wanted, tunnels)
    if wanted is not None and not found:
        raise _not_found(wanted)
    if len(found) > 1 and not everything:
        raise _ambiguous(str(wanted), found)
    for tunnel in found:
        await hosting.stop(tunnel, "stopped by pam tunnel stop")
    count = len(found)
    said = (
        f"Stopped {count} tunnel{'' if count == 1 else 's'}." if count else "No tunnels are open."
    )
    return Done(said, {"stopped": [tunnel.tunnel for tunnel in found]})


async def one_tunnel(hosting: Hosting, wanted: str) -> TunnelInfo:
    """The one open tunnel of this name. Raises NotFound, or Conflict for several."""
    found = match_tunnels(wanted, await hosting.list_all())
    if not found:
        raise _not_found(wanted)
    if len(found) > 1:
        raise _ambiguous(wanted, found)
    return found[0]


def _not_found(wanted: str) -> NotFound:
    return NotFound(f"no open tunnel is called {wanted!r}", hint="pam tunnel list shows them")


def _ambiguous(wanted: str, found: list[TunnelInfo]) -> Conflict:
    names = ", ".join(f"{t.tunnel} ({t.title} on port {t.local_port})" for t in found[:10])
    return Conflict(
        f"{wanted!r} names {len(found)} tunnels: {names}", hint="give a tunnel id or --all"
    )


def time_text(milliseconds: float | None) -> str:
    """A round trip as people read it: `0.6 ms`."""
    return "" if milliseconds is None else f"{milliseconds:.1f} ms"


def row_of(tunnel: TunnelInfo, now: float) -> dict[str, Plain]:
    """A tunnel's row in `pam tunnel list`."""
    return {
        "record": tunnel.title,
        "remote": tunnel.remote,
        "local": local_address(tunnel),
        "path": tunnel.path,
        "status_text": tunnel.status_text,
        "status": tunnel.status,
        "interrupted_s": tunnel.interrupted_s,
        "interruptions": tunnel.interruptions,
        "up": max(0.0, now - tunnel.since),
        "streams": tunnel.streams_open,
        "bytes_in": tunnel.bytes_in,
        "bytes_out": tunnel.bytes_out,
        "rtt": time_text(tunnel.rtt_ms),
        "rtt_ms": None if tunnel.rtt_ms is None else round(tunnel.rtt_ms, 1),
        "tunnel_id": tunnel.tunnel,
        "record_uid": tunnel.record,
        "conversation_id": tunnel.conversation,
        "gateway_uid": tunnel.gateway,
        "streams_total": tunnel.streams_total,
        "pid": tunnel.pid,
        "mode": tunnel.mode,
        "name": tunnel.name or tunnel.local_name,
        "file": tunnel.file,
        "since": tunnel.since,
    }
