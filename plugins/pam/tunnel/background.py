"""A tunnel in a process of its own: the same program, detached, told to stay in the foreground."""

from __future__ import annotations

import asyncio

from commander.errors import TimedOut
from commander.hosting.control import ask_host
from commander.hosting.model import Ask, TunnelInfo
from commander.plugin.command import Arguments
from commander.plugin.context import Context
from plugins.pam.tunnel.detached import GRACE_S, Detached, detached

# Flags that the detached process needs as they were typed.
_TEXTS = ("host", "unix", "target_host", "path", "reason", "ticket", "pid_file")
_NUMBERS = ("port", "target_port", "timeout", "idle_timeout")
_FLAGS = ("allow_remote", "natural", "new", "wait")


async def start_in_background(context: Context, arguments: Arguments, record: str) -> TunnelInfo:
    """
    Start the process, wait until its tunnel is up, and leave it running.

    Raises the error that the process ended with, or TimedOut; then nothing is left running.
    """
    words = ("pam", "tunnel", "start", record, *_flags(arguments), "--foreground")
    async with detached(context, words) as process:
        return await _wait_until_up(context, process, arguments.integer("timeout"), record)


def _flags(arguments: Arguments) -> list[str]:
    words = ["--format=json"]
    for key in _TEXTS:
        value = arguments.text_or_none(key)
        if value:
            words.append(f"--{key.replace('_', '-')}={value}")
    for key in _NUMBERS:
        number = arguments.integer_or_none(key)
        if number is not None:
            words.append(f"--{key.replace('_', '-')}={number}")
    return words + [f"--{key.replace('_', '-')}" for key in _FLAGS if arguments.flag(key)]


async def _wait_until_up(
    context: Context, process: Detached, timeout_s: int, record: str
) -> TunnelInfo:
    deadline = context.clock.monotonic() + timeout_s + GRACE_S
    socket = context.paths.host_socket(process.child.pid)
    while context.clock.monotonic() < deadline:
        if process.child.returncode is not None:
            raise process.failure()
        if socket.exists():
            told = await ask_host(socket, Ask("list"))
            for tunnel in told.tunnels:
                if tunnel.record == record:
                    return tunnel
        await asyncio.sleep(0.05)
    raise TimedOut(f"the background process had no tunnel after {timeout_s:g} s")
