"""Keeping a tunnel in the foreground: while a command runs, as somebody's stdin and stdout, or until it ends."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from commander.errors import CommanderError, Unreachable, UsageError
from commander.files import write_private
from commander.hosting.hosted import HostedTunnel
from commander.hosting.model import TunnelInfo
from commander.hosting.stdio import carry
from commander.plugin.command import Arguments
from commander.plugin.context import Context, Mode
from commander.plugin.results import Document, Exited, Result
from plugins.pam.tunnel.beside import run_beside
from plugins.pam.tunnel.endpoint import client_variables, describe_endpoint, local_address
from plugins.pam.tunnel.local_names import resolve_here
from plugins.pam.tunnel.opening import error_of_end
from plugins.pam.tunnel.request import Plan


def program_of(arguments: Arguments) -> list[str] | None:
    """The command of `--run` or of the words after `--`. Raises UsageError for an empty one."""
    run = arguments.text_or_none("run")
    if run == "":
        raise UsageError("--run needs a command", hint="--run 'pg_dump orders'")
    if run is not None:
        return ["/bin/sh", "-c", run]
    return list(arguments.texts("command")) or None


def check_stdio(context: Context) -> None:
    """Raises UsageError where stdin and stdout are the shell's own."""
    if context.mode is not Mode.ONE_SHOT:
        raise UsageError(
            "--stdio needs stdin and stdout for itself",
            hint="use it one-shot: ssh -o ProxyCommand='commander pam tunnel start X --stdio' HOST",
        )


async def hold(
    context: Context, arguments: Arguments, tunnel: HostedTunnel, plan: Plan
) -> Result | None:
    """Keep the tunnel as long as the mode says; never hides why it ended."""
    if arguments.flag("stdio"):
        await _carry_stdio(tunnel)
        return None
    _write_pid(context, arguments.text_or_none("pid_file"))
    program = program_of(arguments)
    if program is not None:
        context.console.notice(f"Tunnel ready at {local_address(tunnel.info())}.")
        variables = client_variables(tunnel.info(), plan.record.data, user=plan.user)
        return Exited(await run_beside(program, variables))
    context.console.show(await endpoint_of(tunnel.info(), plan), arguments.format)
    ended = await asyncio.shield(tunnel.end.closed)
    error = error_of_end(tunnel.title, ended)
    if error is not None:
        raise error
    context.console.notice(f"Tunnel stopped: {ended.reason or ended.code.label}.")
    return None


async def endpoint_of(tunnel: TunnelInfo, plan: Plan) -> Document:
    """What a started tunnel looks like."""
    resolved = await resolve_here(tunnel.local_name) if tunnel.local_name else ()
    return describe_endpoint(tunnel, plan.record.data, user=plan.user, resolved=resolved)


async def _carry_stdio(tunnel: HostedTunnel) -> None:
    report = await carry(tunnel, sys.stdin.fileno(), sys.stdout.fileno())
    if report.cause in ("closed", "aborted"):
        # Aborted is how ssh leaves: it closes both pipes once it has what it came for.
        return
    if tunnel.end.closed.done():
        error = error_of_end(tunnel.title, tunnel.end.closed.result())
        if error is not None:
            raise error
    raise Unreachable(
        f"the connection to {tunnel.title} failed: {report.reason or report.cause}",
        code=report.cause,
        hint=f"pam tunnel tail {tunnel.uid} --no-follow tells more",
    )


def _write_pid(context: Context, name: str | None) -> None:
    if name is None:
        return
    path = Path(name)
    try:
        write_private(path, f"{os.getpid()}\n".encode())
    except FileNotFoundError as error:
        raise CommanderError(f"{path} cannot be written: {error.strerror}") from error
    context.exit_stack.callback(path.unlink, missing_ok=True)
