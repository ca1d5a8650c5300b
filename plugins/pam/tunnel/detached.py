"""A shell of its own for a command that stays: detached, told to stay in the foreground, heard until it stands."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from commander.errors import CommanderError, TimedOut
from commander.files import make_private_directory
from commander.plugin.command import Arguments
from commander.plugin.context import Context
from commander.plugin.results import Exited, Plain, Result, Table
from plugins.pam.tunnel.listing import SET_COLUMNS
from plugins.pam.tunnel.opening import error_of_code

GRACE_S = 10.0
_END_S = 8.0  # its own end takes up to 5 s
_POLL_S = 0.05
_SAID_LIMIT = 4096
_RESULT_LIMIT = 1024 * 1024


@dataclass(frozen=True)
class Detached:
    """The process, what it writes to stdout, and what to stderr."""

    child: asyncio.subprocess.Process
    result: Path
    said: Path

    def failure(self) -> CommanderError:
        """The error that the process ended with, read from its JSON."""
        code = self.child.returncode or 1
        text = self.said.read_text(encoding="utf-8", errors="replace")[-_SAID_LIMIT:]
        lines = [line for line in text.splitlines() if line.startswith('{"error"')]
        try:
            told = json.loads(lines[-1])["error"]
            message, hint = str(told["message"]), str(told.get("hint", ""))
            return error_of_code(code, message, hint=hint, code=str(told["code"]))
        except (IndexError, ValueError, KeyError, TypeError):
            message = f"the background process ended with code {code}"
            return error_of_code(code, message, hint="", code="")


@asynccontextmanager
async def detached(context: Context, words: Sequence[str]) -> AsyncIterator[Detached]:
    """
    Start `commander WORDS` for as long as it likes; leaving the block by an error ends it, because
    whoever does not hear of a tunnel must not be left with it.
    """
    make_private_directory(context.paths.tunnel_logs)
    environment = {
        **os.environ,
        "COMMANDER_HOME": str(context.paths.home),
        "COMMANDER_RUNTIME": str(context.paths.runtime),
    }
    stem = context.paths.tunnel_logs / f"start-{os.getpid()}-{os.urandom(4).hex()}"
    files = [stem.with_suffix(".out"), stem.with_suffix(".err")]
    with contextlib.ExitStack() as stack:
        handles = []
        for file in files:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            handles.append(os.open(file, flags, 0o600))
            stack.callback(os.close, handles[-1])
            stack.callback(file.unlink, missing_ok=True)
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "commander",
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=handles[0],
            stderr=handles[1],
            env=environment,
            start_new_session=True,
        )
        try:
            yield Detached(child, *files)
        except BaseException:
            await _end(child)
            raise


async def _end(child: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        child.terminate()
    try:
        async with asyncio.timeout(_END_S):
            await child.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()


async def up_in_background(
    context: Context, arguments: Arguments, file: Path, timeout_s: float
) -> Result:
    """`pam tunnel up` in a process of its own; its table. Raises what ended it, or TimedOut."""
    context.console.progress("Opening tunnels in a process of their own. Please wait...")
    flags = [
        f"--{name}" for name in ("keep-going", "wait") if arguments.flag(name.replace("-", "_"))
    ]
    flags += ["--foreground", "--format=json", f"--timeout={arguments.integer('timeout')}"]
    words = ("pam", "tunnel", "up", f"--file={file}", *flags)
    deadline = context.clock.monotonic() + timeout_s + GRACE_S
    async with detached(context, words) as process:
        while context.clock.monotonic() < deadline:
            has_ended = process.child.returncode is not None
            rows = _rows(process.result)
            if rows is not None:
                _tell(context, rows, file.name)
                failed = [int(str(row["exit_code"])) for row in rows if row["exit_code"]]
                table = Table(SET_COLUMNS, rows)
                return Exited(failed[0], table) if failed else table
            if has_ended:
                raise process.failure()
            await asyncio.sleep(_POLL_S)
        raise TimedOut(f"the background process had no tunnels after {timeout_s:g} s")


def _rows(result: Path) -> list[dict[str, Plain]] | None:
    """The rows that the process printed once it stood, or ended; None before."""
    with result.open("rb") as file:
        data = file.read(_RESULT_LIMIT)
    if not data.endswith(b"]\n"):
        return None
    found = json.loads(data)
    return [dict(row) for row in found]


def _tell(context: Context, rows: list[dict[str, Plain]], name: str) -> None:
    for row in rows:
        if row["error"]:
            context.console.notice(f"error: {name}:{row['line']}: {row['name']}: {row['error']}")
            if row["hint"]:
                context.console.notice(f"  hint: {row['hint']}")
