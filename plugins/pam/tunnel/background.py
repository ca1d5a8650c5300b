"""A tunnel in a process of its own: the same program, detached, told to stay in the foreground."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from pathlib import Path

from commander.errors import CommanderError, TimedOut
from commander.files import make_private_directory
from commander.hosting.control import ask_host
from commander.hosting.model import Ask, TunnelInfo
from commander.plugin.command import Arguments
from commander.plugin.context import Context
from plugins.pam.tunnel.opening import error_of_code

_GRACE_S = 10.0
_END_S = 8.0  # its own end takes up to 5 s
_SAID_LIMIT = 4096
# Flags that the detached process needs as they were typed.
_TEXTS = ("host", "unix", "target_host", "path", "reason", "ticket", "pid_file")
_NUMBERS = ("port", "target_port", "timeout", "idle_timeout")
_FLAGS = ("allow_remote", "natural", "new", "wait")


async def start_in_background(context: Context, arguments: Arguments, record: str) -> TunnelInfo:
    """
    Start the process, wait until its tunnel is up, and leave it running.

    Raises the error that the process ended with, or TimedOut; then nothing is left running.
    """
    make_private_directory(context.paths.tunnel_logs)
    words = [
        sys.executable,
        "-m",
        "commander",
        "pam",
        "tunnel",
        "start",
        record,
        *_flags(arguments),
    ]
    environment = {
        **os.environ,
        "COMMANDER_HOME": str(context.paths.home),
        "COMMANDER_RUNTIME": str(context.paths.runtime),
    }
    said = context.paths.tunnel_logs / f"start-{os.getpid()}-{record}.err"
    handle = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    try:
        child = await asyncio.create_subprocess_exec(
            *words,
            "--foreground",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=handle,
            env=environment,
            start_new_session=True,
        )
        try:
            return await _wait_until_up(context, child, said, arguments.integer("timeout"), record)
        except BaseException:
            # Whoever does not hear of the tunnel must not be left with it.
            await _end(child)
            raise
    finally:
        os.close(handle)
        said.unlink(missing_ok=True)


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
    context: Context, child: asyncio.subprocess.Process, said: Path, timeout_s: int, record: str
) -> TunnelInfo:
    deadline = context.clock.monotonic() + timeout_s + _GRACE_S
    socket = context.paths.host_socket(child.pid)
    while context.clock.monotonic() < deadline:
        if child.returncode is not None:
            raise _failure(said, child.returncode)
        if socket.exists():
            told = await ask_host(socket, Ask("list"))
            for tunnel in told.tunnels:
                if tunnel.record == record:
                    return tunnel
        await asyncio.sleep(0.05)
    raise TimedOut(f"the background process had no tunnel after {timeout_s:g} s")


async def _end(child: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        child.terminate()
    try:
        async with asyncio.timeout(_END_S):
            await child.wait()
    except TimeoutError:
        child.kill()
        await child.wait()


def _failure(said: Path, code: int) -> CommanderError:
    """The error that the process ended with, read from its JSON."""
    text = said.read_text(encoding="utf-8", errors="replace")[-_SAID_LIMIT:]
    lines = [line for line in text.splitlines() if line.startswith('{"error"')]
    try:
        told = json.loads(lines[-1])["error"]
        message, hint, name = str(told["message"]), str(told.get("hint", "")), str(told["code"])
    except (IndexError, ValueError, KeyError, TypeError):
        message, hint, name = f"the background process ended with code {code}", "", ""
    return error_of_code(code, message, hint=hint, code=name)
