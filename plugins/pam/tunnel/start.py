"""`pam tunnel start` in all its modes."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import replace
from pathlib import Path

from commander import __version__
from commander.errors import CommanderError, Conflict, NotAllowed, Unreachable, UsageError
from commander.files import write_private
from commander.hosting.host import Hosting, Link, StartOptions, hosting_of
from commander.hosting.hosted import HostedTunnel
from commander.hosting.model import TunnelInfo
from commander.plugin.command import Arguments
from commander.plugin.context import Context, Mode
from commander.plugin.results import Document, Exited, Result
from commander.tunnel.codes import CloseCode
from plugins.pam.tunnel.background import start_in_background
from plugins.pam.tunnel.child import run_child
from plugins.pam.tunnel.endpoint import client_variables, describe_endpoint
from plugins.pam.tunnel.request import Plan, plan_tunnel, position_of

_WAIT_S = 1.0
# A gateway that vanished while it was asked never answers; asked again later, it does.
_ATTEMPT_S = 15.0
_TAKEN_AWAY = {CloseCode.REVOKED, CloseCode.EXPIRED}
_CLEAN = {CloseCode.STOPPED, CloseCode.GOING_AWAY, CloseCode.IDLE}


async def start(context: Context, arguments: Arguments) -> Result | None:
    """Open the tunnel, then do what the mode says."""
    _check_run(arguments)
    hosting = hosting_of(context.tunnels)
    await context.vault.refresh()
    plan = plan_tunnel(context, arguments)
    live = None if arguments.flag("new") else await _live(hosting, plan, arguments)
    if live is not None:
        return await _use_live(context, arguments, plan, live)
    context.console.progress("Establishing tunnel between Commander and Gateway. Please wait...")
    if arguments.flag("background"):
        told = await start_in_background(context, arguments, plan.record.uid)
        return describe_endpoint(told, plan.record.data, user=plan.user)
    tunnel = await _start(context, arguments, hosting, plan)
    if _stays_open(context, arguments):
        return _endpoint(tunnel, plan)
    try:
        return await _hold(context, arguments, tunnel, plan)
    finally:
        await tunnel.close(CloseCode.STOPPED, "the command that opened it ended")


def _check_run(arguments: Arguments) -> None:
    if arguments.text_or_none("run") == "":
        raise UsageError("--run needs a command", hint="--run 'pg_dump orders'")


def _stays_open(context: Context, arguments: Arguments) -> bool:
    """Whether the tunnel outlives the command: in a session or batch, unless told otherwise."""
    held = arguments.flag("foreground") or _program(arguments) is not None
    return context.mode is not Mode.ONE_SHOT and not held


def _program(arguments: Arguments) -> list[str] | None:
    run = arguments.text_or_none("run")
    if run is not None:
        return ["/bin/sh", "-c", run]
    words = arguments.texts("command")
    return list(words) if words else None


async def _live(hosting: Hosting, plan: Plan, arguments: Arguments) -> TunnelInfo | None:
    port = arguments.integer_or_none("port")
    for tunnel in await hosting.list_all():
        if tunnel.record != plan.record.uid or tunnel.status != "open":
            continue
        if port not in (None, tunnel.local_port):
            raise Conflict(
                f"{tunnel.title!r} has a live tunnel on port {tunnel.local_port}",
                hint=f"pam tunnel stop {tunnel.tunnel}, or give --new",
            )
        return tunnel
    return None


async def _use_live(
    context: Context, arguments: Arguments, plan: Plan, live: TunnelInfo
) -> Result | None:
    context.console.notice(f"{live.title} has a live tunnel already; this is its endpoint.")
    program = _program(arguments)
    if program is None:
        return describe_endpoint(live, plan.record.data, user=plan.user)
    variables = client_variables(live, plan.record.data, user=plan.user)
    return Exited(await run_child(program, variables))


async def _start(
    context: Context, arguments: Arguments, hosting: Hosting, plan: Plan
) -> HostedTunnel:
    hosting.use(Link(context.api, os.environ, lambda: position_of(context.vault), __version__))
    idle = arguments.integer_or_none("idle_timeout")
    options = StartOptions(
        host=arguments.text("host"),
        port=arguments.integer_or_none("port") or 0,
        preferred_port=plan.settings.tunnel.local_port,
        reuse_port=plan.settings.tunnel.reuse_port,
        allow_remote=arguments.flag("allow_remote"),
        path=arguments.text("path"),
        timeout_s=arguments.integer("timeout"),
        idle_s=float(idle) if idle else None,
        mode=context.mode.value,
        new=arguments.flag("new"),
    )
    if not arguments.flag("wait"):
        return await hosting.start(plan.request, options)
    return await _start_when_online(context, hosting, plan, options)


async def _start_when_online(
    context: Context, hosting: Hosting, plan: Plan, options: StartOptions
) -> HostedTunnel:
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


def _endpoint(tunnel: HostedTunnel, plan: Plan) -> Document:
    return describe_endpoint(tunnel.info(), plan.record.data, user=plan.user)


async def _hold(
    context: Context, arguments: Arguments, tunnel: HostedTunnel, plan: Plan
) -> Result | None:
    """Keep the tunnel while a command runs, or until it ends; never hides why it ended."""
    _write_pid(context, arguments, os.getpid())
    program = _program(arguments)
    if program is not None:
        context.console.notice(f"Tunnel ready on {tunnel.info().local_port}; running the command.")
        variables = client_variables(tunnel.info(), plan.record.data, user=plan.user)
        return Exited(await run_child(program, variables))
    document = _endpoint(tunnel, plan)
    context.console.emit(
        json.dumps(document.values) if arguments.format == "json" else document.text
    )
    ended = await asyncio.shield(tunnel.end.closed)
    if ended.code in _TAKEN_AWAY:
        raise NotAllowed(
            f"the tunnel to {tunnel.title} was ended: {ended.reason or ended.code.label}",
            code=ended.code.label,
            hint="ask the owner of the record or an administrator",
        )
    if ended.code not in _CLEAN:
        raise Unreachable(
            f"the tunnel to {tunnel.title} was lost: {ended.reason or ended.code.label}",
            code=ended.code.label,
        )
    context.console.notice(f"Tunnel stopped: {ended.reason or ended.code.label}.")
    return None


def _write_pid(context: Context, arguments: Arguments, pid: int) -> None:
    name = arguments.text_or_none("pid_file")
    if name is None:
        return
    path = Path(name)
    try:
        write_private(path, f"{pid}\n".encode())
    except FileNotFoundError as error:
        raise CommanderError(f"{path} cannot be written: {error.strerror}") from error
    context.exit_stack.callback(path.unlink, missing_ok=True)
