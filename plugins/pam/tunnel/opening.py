"""Opening one tunnel: what the user chose, a live one that fits, waiting for the gateway."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field, replace
from pathlib import Path

from commander import __version__
from commander.errors import BY_CODE, CommanderError, Conflict, NotAllowed, Unreachable, UsageError
from commander.hosting.ends import explain_end
from commander.hosting.host import Hosting, Link, StartOptions
from commander.hosting.hosted import HostedTunnel, Label
from commander.hosting.loopback import LoopbackAddresses
from commander.hosting.model import TunnelInfo
from commander.plugin.command import Arguments
from commander.plugin.context import Context
from commander.tunnel.events import TunnelClosed
from plugins.pam.tunnel.endpoint import local_address
from plugins.pam.tunnel.request import Plan, followed_position

_WAIT_S = 1.0
# A gateway that vanished while it was asked never answers; asked again later, it does.
_ATTEMPT_S = 15.0
DEFAULT_HOST = "127.0.0.1"


@dataclass(frozen=True)
class LocalEnd:
    """The local end a user asks for; empty values leave the choice to us."""

    host: str = DEFAULT_HOST
    port: int = 0
    natural: bool = False
    unix: Path | None = None
    stdio: bool = False
    allow_remote: bool = False


@dataclass(frozen=True)
class Manner:
    """How a tunnel is opened, beside where."""

    path: str = "auto"
    timeout_s: int = 30
    idle_s: int = 0
    new: bool = False
    wait: bool = False
    label: Label = field(default_factory=Label)


def local_end_of(arguments: Arguments) -> LocalEnd:
    """The local end by `pam tunnel start`'s flags. Raises UsageError for flags that disagree."""
    host, unix = arguments.text("host"), arguments.text_or_none("unix")
    natural = arguments.flag("natural")
    if host != DEFAULT_HOST and (natural or unix is not None or arguments.flag("stdio")):
        raise UsageError("--host has no place beside --natural, --unix or --stdio")
    return LocalEnd(
        host=host,
        port=arguments.integer_or_none("port") or 0,
        natural=natural,
        unix=Path(unix).absolute() if unix is not None else None,
        stdio=arguments.flag("stdio"),
        allow_remote=arguments.flag("allow_remote"),
    )


def start_options(context: Context, plan: Plan, end: LocalEnd, manner: Manner) -> StartOptions:
    """
    What hosting needs; a natural end becomes the record's own address and the target's port.

    Raises NotAllowed for --allow-remote where the record's settings do not let it.
    """
    if end.allow_remote and not plan.settings.tunnel.remote_clients:
        raise NotAllowed(
            f"{plan.record.data.title!r} lets no other machine use its tunnels",
            code="remote-clients-not-allowed",
            hint=f"pam tunnel edit {plan.record.uid} --allow-remote-clients on",
        )
    options = StartOptions(
        host=end.host,
        port=end.port,
        preferred_port=plan.settings.tunnel.local_port,
        reuse_port=plan.settings.tunnel.reuse_port,
        allow_remote=end.allow_remote,
        path=manner.path,
        timeout_s=manner.timeout_s,
        idle_s=float(manner.idle_s) if manner.idle_s else None,
        mode=context.mode.value,
        new=True,
        unix=end.unix,
        stdio=end.stdio,
        further=_further(plan, end),
        label=manner.label,
    )
    if not end.natural:
        return options
    natural = LoopbackAddresses(context.paths.home / "loopback.json").of(
        plan.record.uid, plan.record.data.title
    )
    return replace(
        options,
        host=natural.address,
        port=end.port or plan.remote_port,
        reuse_port=False,
        beside=True,
        label=replace(manner.label, local_name=f"{natural.name}.localhost"),
    )


def usual_port(hosting: Hosting, plan: Plan, end: LocalEnd, *, new: bool) -> int:
    """The local port that the record's tunnel has every day; 0 where the user wants another end."""
    if new or end != LocalEnd():
        return 0
    tunnel = plan.settings.tunnel
    return tunnel.local_port or (hosting.last_port(plan.record.uid) if tunnel.reuse_port else 0)


def other_port_told(usual: int, tunnel: TunnelInfo) -> str:
    """What the user has to know when the usual port was taken; empty when it was not."""
    if usual in (0, tunnel.local_port):
        return ""
    return (
        f"Port {usual}, where {tunnel.title} usually is, belongs to another program now: "
        f"what is set to it does not lead to {tunnel.title}."
    )


def _further(plan: Plan, end: LocalEnd) -> tuple[tuple[int, int], ...]:
    """The record's further ports, as local and remote; beside a natural end the target's own."""
    return tuple(
        (pair.remote if end.natural else pair.local, pair.remote)
        for pair in plan.settings.tunnel.ports
    )


async def find_live(hosting: Hosting, plan: Plan, end: LocalEnd) -> TunnelInfo | None:
    """
    A tunnel of the record in any process of this user.

    Raises Conflict when it has another local end than the user asks for.
    """
    for tunnel in await hosting.list_all():
        if tunnel.record != plan.record.uid or not tunnel.is_live:
            continue
        if not has_local_end(tunnel, end):
            raise Conflict(
                f"{tunnel.title!r} has a live tunnel at {local_address(tunnel)}",
                hint=f"pam tunnel stop {tunnel.tunnel}, or give --new",
            )
        return tunnel
    return None


def has_local_end(tunnel: TunnelInfo, end: LocalEnd) -> bool:
    """Whether a live tunnel is where the user wants it."""
    if end.unix is not None:
        return tunnel.unix == str(end.unix)
    if end.natural:
        return bool(tunnel.local_name) and end.port in (0, tunnel.local_port)
    return end.port in (0, tunnel.local_port) and end.host in (DEFAULT_HOST, tunnel.local_host)


async def open_tunnel(
    context: Context, hosting: Hosting, plan: Plan, options: StartOptions, *, wait: bool
) -> HostedTunnel:
    """Open it in this process. Raises as `Hosting.start`; with `wait` an offline gateway is awaited."""
    hosting.use(Link(context.api, os.environ, followed_position(context), __version__))
    if not wait:
        return await hosting.start(plan.request, options)
    deadline = context.clock.monotonic() + options.timeout_s
    while True:
        left = max(_WAIT_S, deadline - context.clock.monotonic())
        attempt = replace(options, timeout_s=min(_ATTEMPT_S, left))
        try:
            return await hosting.start(plan.request, attempt)
        except Unreachable as error:
            if context.clock.monotonic() + _WAIT_S > deadline:
                raise
            context.console.progress(f"{error}; trying again...")
        await asyncio.sleep(_WAIT_S)


def error_of_end(title: str, ended: TunnelClosed) -> CommanderError | None:
    """The error for a tunnel that ended by itself; None when the user, or a limit they set, ended it."""
    ending = explain_end(ended.code, ended.reason, record=title)
    if ending.is_clean:
        return None
    return error_of_code(
        ending.exit_code,
        f"the tunnel to {title} ended: {ending.sentence}",
        hint=ending.hint,
        code=ending.code,
    )


def error_of_code(exit_code: int, message: str, *, hint: str, code: str) -> CommanderError:
    """An error that ends a command with this code."""
    kinds = {kind.exit_code: kind for kind in reversed(BY_CODE.values())}
    return kinds.get(exit_code, CommanderError)(message, hint=hint, code=code)
