"""`pam tunnel down` and `pam tunnel status`: the tunnels of a file, whichever process holds them."""

from __future__ import annotations

import asyncio
from pathlib import Path

from commander.errors import Unreachable
from commander.hosting.host import Hosting, hosting_of
from commander.hosting.model import TunnelInfo
from commander.plugin.command import Arguments
from commander.plugin.context import Context
from commander.plugin.results import Column, Done, Exited, Plain, Result, Shape, Table
from plugins.pam.tunnel.listing import row_of
from plugins.pam.tunnel.loading import load_tunnels_file

_COLUMNS = (
    Column("name"),
    Column("record"),
    Column("local"),
    Column("path"),
    Column("state"),
    Column("up", "Up", Shape.DURATION),
    Column("streams", "Streams"),
    Column("bytes_in", "In", Shape.SIZE),
    Column("bytes_out", "Out", Shape.SIZE),
    Column("rtt", "RTT"),
    Column("rtt_ms", detail=True),
    Column("tunnel_id", "Tunnel ID", detail=True),
    Column("pid", "PID", detail=True),
    Column("line", detail=True),
)
_CLOSED, _NOT_IN_FILE = "closed", "not in the file"


async def down(context: Context, arguments: Arguments) -> Done:
    """Stop the tunnels that `up` opened for this file, those that came last first."""
    path, file = load_tunnels_file(arguments.text_or_none("file"))
    hosting = hosting_of(context.tunnels)
    found = await _tunnels_of(hosting, path)
    stopped = []
    # What the file no longer names was opened for it all the same.
    order = [name for group in reversed(file.groups) for name in sorted(e.name for e in group)]
    order += [tunnel.name for tunnel in found if tunnel.name not in order]
    for name in dict.fromkeys(order):
        mine = [tunnel for tunnel in found if tunnel.name == name]
        await asyncio.gather(*(hosting.stop(one, "stopped by pam tunnel down") for one in mine))
        stopped += [one.tunnel for one in mine]
    count = len(stopped)
    said = f"Stopped {count} tunnel{'' if count == 1 else 's'} of {path.name}."
    return Done(said if count else f"No tunnel of {path.name} is open.", {"stopped": stopped})


async def status(context: Context, arguments: Arguments) -> Result:
    """A row for each tunnel of the file; with --check, code 6 unless all are open."""
    path, file = load_tunnels_file(arguments.text_or_none("file"))
    found = {tunnel.name: tunnel for tunnel in await _tunnels_of(hosting_of(context.tunnels), path)}
    now = context.clock.now()
    rows = []
    for entry in file.entries:
        tunnel = found.pop(entry.name, None)
        rows.append(_row(entry.name, entry.record, entry.line, tunnel, now))
    rows += [_row(tunnel.name, tunnel.title, None, tunnel, now) for tunnel in found.values()]
    table = Table(_COLUMNS, rows)
    is_up = all(row["state"] == "open" for row in rows if row["line"] is not None)
    if arguments.flag("check") and not is_up:
        return Exited(Unreachable.exit_code, table)
    return table


async def _tunnels_of(hosting: Hosting, path: Path) -> list[TunnelInfo]:
    return [tunnel for tunnel in await hosting.list_all() if tunnel.file == str(path)]


def _row(
    name: str, record: str, line: int | None, tunnel: TunnelInfo | None, now: float
) -> dict[str, Plain]:
    if tunnel is None:
        return {"name": name, "record": record, "state": _CLOSED, "line": line}
    row = row_of(tunnel, now)
    state = row["status_text"] if line is not None else f"{row['status_text']}, {_NOT_IN_FILE}"
    return {**row, "name": name, "state": state, "line": line}
