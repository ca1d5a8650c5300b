"""
Where the shell's objects meet: the one place that knows vault, API client and tunnel host.

`build_context` is given facts (paths, options, streams) and makes everything a
command may use.
"""

from __future__ import annotations

from commander.clock import SystemClock
from commander.config.options import Options
from commander.config.paths import Paths
from commander.plugin.context import Context, Mode
from commander.shell.console import StreamConsole
from commander.shell.context import LoginKeeper, Session, ShellContext
from commander.shell.terminal import Terminal


class NoTunnels:
    """A process that hosts no tunnels."""

    def open_count(self) -> int:
        """None."""
        return 0

    async def close_all(self, reason: str) -> None:
        """Nothing to close."""


class NoKeptLogin:
    """A machine on which no login is kept: each process starts logged out."""

    async def resume(self, context: Context) -> Session | None:
        """There is none."""
        return None

    async def close(self, session: Session) -> None:
        """Nothing that outlives the process."""

    def user_name(self, session: Session) -> str:
        """Unknown here."""
        return ""


def build_context(
    *, paths: Paths, config: Options, server: str, terminal: Terminal, mode: Mode
) -> ShellContext:
    """Make the context of this process; nothing is opened or read yet."""
    logins: LoginKeeper = NoKeptLogin()
    return ShellContext(
        console=StreamConsole(terminal),
        config=config,
        server=server or config.server,
        paths=paths,
        clock=SystemClock(),
        mode=mode,
        tunnels=NoTunnels(),
        logins=logins,
    )
