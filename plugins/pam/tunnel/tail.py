"""`pam tunnel tail`: the last lines of a tunnel's log, then what is added, also after its end."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from pathlib import Path

from commander.errors import Conflict, NotFound, Unreachable
from commander.hosting.ends import FAILED, TIMED_OUT, UNREACHABLE, explain_end
from commander.hosting.host import hosting_of
from commander.hosting.journal import CLOSED, Follower, Value, describe
from commander.hosting.model import match_tunnels
from commander.plugin.command import Arguments
from commander.plugin.context import Context
from plugins.pam.tunnel.logs import ended_logs

POLL_S = 0.2
_LOST = (FAILED, UNREACHABLE, TIMED_OUT)


async def tail(context: Context, arguments: Arguments) -> None:
    """
    Print and follow. Ends when the tunnel ends: cleanly, or raising Unreachable when it was lost.
    """
    wanted = arguments.text("tunnel")
    path = await _find_log(context, wanted)
    follower = Follower(path)
    try:
        last: deque[dict[str, Value]] = deque(
            follower.new_lines(), maxlen=max(0, arguments.integer("lines"))
        )
        end: dict[str, Value] | None = None
        for entry in last:
            _emit(context, arguments, entry)
            end = entry if entry.get("event") == CLOSED else end
        if not arguments.flag("no_follow"):
            end = end or await _follow(context, arguments, follower, path.stem)
    finally:
        follower.close()
    if end is not None:
        _raise_lost(end)


def _raise_lost(end: dict[str, Value]) -> None:
    """A tunnel that was lost is code 6, however; one that was ended, by whomever, is a clean end."""
    ending = explain_end(str(end.get("code")), str(end.get("reason") or ""))
    if ending.exit_code in _LOST:
        raise Unreachable(
            f"the tunnel was lost: {ending.sentence}", code=ending.code, hint=ending.hint
        )


async def _follow(
    context: Context, arguments: Arguments, follower: Follower, tunnel: str
) -> dict[str, Value]:
    while True:
        for entry in follower.new_lines():
            _emit(context, arguments, entry)
            if entry.get("event") == CLOSED:
                return entry
        if not await _is_open(context, tunnel):
            # The last lines may have come between reading and asking.
            for entry in follower.new_lines():
                _emit(context, arguments, entry)
                if entry.get("event") == CLOSED:
                    return entry
            return {"event": CLOSED, "code": "host-lost", "reason": "its process is gone"}
        await asyncio.sleep(POLL_S)


async def _is_open(context: Context, tunnel: str) -> bool:
    return any(info.tunnel == tunnel for info in await hosting_of(context.tunnels).list_all())


async def _find_log(context: Context, wanted: str) -> Path:
    open_now = match_tunnels(wanted, await hosting_of(context.tunnels).list_all())
    if len(open_now) > 1:
        names = ", ".join(tunnel.tunnel for tunnel in open_now[:10])
        raise Conflict(f"{wanted!r} names several tunnels: {names}", hint="give a tunnel id")
    if open_now:
        return context.paths.tunnel_log(open_now[0].tunnel)
    ended = await ended_logs(context, wanted)
    if len(ended) != 1:
        raise NotFound(
            f"no tunnel is or was called {wanted!r}",
            hint="pam tunnel list shows open ones; ended ones are found by record or tunnel id",
        )
    return ended[0]


def _emit(context: Context, arguments: Arguments, entry: dict[str, Value]) -> None:
    raw = arguments.format == "json"
    context.console.emit(json.dumps(entry) if raw else describe(entry))
