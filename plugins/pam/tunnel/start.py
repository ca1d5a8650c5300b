"""`pam tunnel start` in all its modes."""

from __future__ import annotations

from commander.hosting.host import hosting_of
from commander.hosting.model import TunnelInfo
from commander.plugin.command import Arguments
from commander.plugin.context import Context, Mode
from commander.plugin.results import Exited, Result
from commander.tunnel.codes import CloseCode
from plugins.pam.tunnel.background import start_in_background
from plugins.pam.tunnel.beside import run_beside
from plugins.pam.tunnel.endpoint import client_variables
from plugins.pam.tunnel.holding import check_stdio, endpoint_of, hold, program_of
from plugins.pam.tunnel.opening import (
    Manner,
    find_live,
    local_end_of,
    open_tunnel,
    other_port_told,
    start_options,
    usual_port,
)
from plugins.pam.tunnel.request import Plan, Wanted, plan_tunnel


async def start(context: Context, arguments: Arguments) -> Result | None:
    """Open the tunnel, then do what the mode says."""
    program = program_of(arguments)
    end = local_end_of(arguments)
    if end.stdio:
        check_stdio(context)
    hosting = hosting_of(context.tunnels)
    await context.vault.refresh()
    plan = plan_tunnel(context.vault, _wanted(arguments), base=context.location.folder)
    # A ProxyCommand's stdin and stdout can only be a stream of its own.
    if not arguments.flag("new") and not end.stdio:
        live = await find_live(hosting, plan, end)
        if live is not None:
            return await _use_live(context, program, plan, live)
    if not end.stdio:
        context.console.progress(
            "Establishing tunnel between Commander and Gateway. Please wait..."
        )
    usual = usual_port(hosting, plan, end, new=arguments.flag("new"))
    if arguments.flag("background"):
        told = await start_in_background(context, arguments, plan.record.uid)
        _tell_port(context, usual, told)
        return await endpoint_of(told, plan)
    options = start_options(context, plan, end, _manner(arguments))
    tunnel = await open_tunnel(context, hosting, plan, options, wait=arguments.flag("wait"))
    _tell_port(context, usual, tunnel.info())
    held = arguments.flag("foreground") or program is not None
    if context.mode is not Mode.ONE_SHOT and not held:
        # It outlives the command: in a session or batch, unless told otherwise.
        return await endpoint_of(tunnel.info(), plan)
    try:
        return await hold(context, arguments, tunnel, plan)
    finally:
        await tunnel.close(CloseCode.STOPPED, "the command that opened it ended")


def _tell_port(context: Context, usual: int, tunnel: TunnelInfo) -> None:
    told = other_port_told(usual, tunnel)
    if told:
        context.console.notice(told)


def _wanted(arguments: Arguments) -> Wanted:
    return Wanted(
        arguments.text("record"),
        arguments.text_or_none("target_host") or "",
        arguments.integer_or_none("target_port") or 0,
        arguments.text("reason"),
        arguments.text("ticket"),
    )


def _manner(arguments: Arguments) -> Manner:
    return Manner(
        path=arguments.text("path"),
        timeout_s=arguments.integer("timeout"),
        idle_s=arguments.integer_or_none("idle_timeout") or 0,
    )


async def _use_live(
    context: Context, program: list[str] | None, plan: Plan, live: TunnelInfo
) -> Result | None:
    context.console.notice(f"{live.title} has a live tunnel already; this is its endpoint.")
    if program is None:
        return await endpoint_of(live, plan)
    variables = client_variables(live, plan.record.data, user=plan.user)
    return Exited(await run_beside(program, variables))
