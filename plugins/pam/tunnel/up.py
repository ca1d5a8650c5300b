"""`pam tunnel up`: open the tunnels of a file, then do what the mode says."""

from __future__ import annotations

import asyncio
from pathlib import Path

from commander.hosting.host import hosting_of
from commander.plugin.command import Arguments
from commander.plugin.context import Context, Mode
from commander.plugin.results import Exited, Result
from plugins.pam.tunnel.beside import run_beside
from plugins.pam.tunnel.detached import up_in_background
from plugins.pam.tunnel.loading import load_tunnels_file
from plugins.pam.tunnel.opening import Manner, error_of_end
from plugins.pam.tunnel.set_variables import set_variables
from plugins.pam.tunnel.tunnel_set import TunnelSet


async def up(context: Context, arguments: Arguments) -> Result | None:
    """Open what is not open yet; what this call opened is closed again when it cannot be all."""
    path, file = load_tunnels_file(arguments.text_or_none("file"))
    timeout_s = arguments.integer("timeout")
    if arguments.flag("background"):
        return await up_in_background(context, arguments, path, len(file.groups) * timeout_s)
    await context.vault.refresh()
    manner = Manner(timeout_s=timeout_s, wait=arguments.flag("wait"))
    tunnels = TunnelSet(context, hosting_of(context.tunnels), path, file, manner)
    await tunnels.plan()
    if arguments.flag("dry_run"):
        return _result(context, tunnels, path)
    is_kept = False
    try:
        context.console.progress(f"Opening {len(file.entries)} tunnels. Please wait...")
        await tunnels.open(keep_going=arguments.flag("keep_going"))
        is_kept = _outlives_command(context, arguments)
        if tunnels.failed and not arguments.flag("keep_going"):
            return _result(context, tunnels, path)
        return await _use(context, arguments, tunnels, path)
    finally:
        if not is_kept:
            await tunnels.close("the command that opened it ended")


def _outlives_command(context: Context, arguments: Arguments) -> bool:
    held = arguments.flag("foreground") or bool(arguments.texts("command"))
    return context.mode is not Mode.ONE_SHOT and not held


async def _use(
    context: Context, arguments: Arguments, tunnels: TunnelSet, path: Path
) -> Result | None:
    words = list(arguments.texts("command"))
    if words:
        _tell_failures(context, tunnels, path)
        return Exited(await run_beside(words, set_variables(tunnels.named())))
    result = _result(context, tunnels, path)
    if _outlives_command(context, arguments) or not tunnels.opened():
        return result
    context.console.show(result, arguments.format)
    await _hold(tunnels)
    return Exited(result.code) if isinstance(result, Exited) else None


def _result(context: Context, tunnels: TunnelSet, path: Path) -> Result:
    """The table; with failures also each error, and the first one's exit code."""
    _tell_failures(context, tunnels, path)
    table = tunnels.table()
    first = next((member.error for member in tunnels.failed), None)
    return table if first is None else Exited(first.exit_code, table)


def _tell_failures(context: Context, tunnels: TunnelSet, path: Path) -> None:
    for member in tunnels.failed:
        assert member.error is not None
        context.console.notice(
            f"error: {path.name}:{member.entry.line}: {member.entry.name}: {member.error.message}"
        )
        if member.error.hint:
            context.console.notice(f"  hint: {member.error.hint}")


async def _hold(tunnels: TunnelSet) -> None:
    """Stay until all have ended; raises the first end that nobody had asked for."""
    opened = tunnels.opened()
    await asyncio.wait([one.end.closed for one in opened])
    for one in opened:
        error = error_of_end(one.title, one.end.closed.result())
        if error is not None:
            raise error
