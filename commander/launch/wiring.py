"""
Where the shell's objects meet: the one place that knows vault, API client and tunnel host.

`build_context` is given facts (paths, options, streams) and makes everything a
command may use.
"""

from __future__ import annotations

import importlib
from typing import Any

from commander.clock import SystemClock
from commander.config.options import Options
from commander.config.paths import Paths
from commander.hosting.handle import TunnelsHandle
from commander.plugin.context import Context, Mode
from commander.shell.console import StreamConsole
from commander.shell.context import LoginKeeper, Session, ShellContext
from commander.shell.terminal import Terminal


class KeptLogins:
    """Logins that outlive their process; what opens them is imported when one is needed."""

    async def resume(self, context: Context) -> Session | None:
        """Unlock the kept login. Raises NotLoggedIn with the reason when there is none."""
        module: Any = importlib.import_module("commander.launch.kept_login")
        session: Session = await module.resume_session(context)
        return session

    async def check(self, context: Context) -> None:
        """Note that the session is used. Raises NotLoggedIn when it was locked meanwhile."""
        module: Any = importlib.import_module("commander.launch.kept_login")
        module.check_session(context)

    async def close(self, session: Session) -> None:
        """Close the client's connections; what the vault holds ends with the process."""
        await session.api.close()

    def user_name(self, session: Session) -> str:
        """The account's e-mail."""
        return session.vault.email


def build_context(
    *, paths: Paths, config: Options, server: str, terminal: Terminal, mode: Mode
) -> ShellContext:
    """Make the context of this process; nothing is opened or read yet."""
    logins: LoginKeeper = KeptLogins()
    console, clock = StreamConsole(terminal), SystemClock()
    return ShellContext(
        console=console,
        config=config,
        server=server or config.server,
        paths=paths,
        clock=clock,
        mode=mode,
        tunnels=TunnelsHandle(paths, clock, console.notice),
        logins=logins,
    )
