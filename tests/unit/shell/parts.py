"""A shell of real parts, with the sample plugin and without launch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

from commander.clock import ManualClock
from commander.config.options import Options
from commander.config.paths import Paths
from commander.errors import NotLoggedIn
from commander.plugin.context import Context, Mode
from commander.plugin.manager import Plugins
from commander.plugin.testing import FakeTunnels
from commander.shell.batch import Batch
from commander.shell.console import StreamConsole
from commander.shell.context import Session, ShellContext
from commander.shell.control import Control
from commander.shell.dispatch import Dispatcher
from commander.shell.history import History
from commander.shell.runner import Runner
from commander.shell.terminal import Terminal
from plugins.shell import plugin as shell_plugin
from tests.unit.plugin import sample

if TYPE_CHECKING:
    from commander.api.client import Api
    from commander.vault.session import Vault


class Logins:
    """A keeper of one login, or of none."""

    def __init__(self, session: Session | None = None) -> None:
        self.session = session
        self.closed: list[Session] = []
        self.is_locked = False

    async def resume(self, context: Context) -> Session | None:
        return self.session

    async def check(self, context: Context) -> None:
        if self.is_locked:
            raise NotLoggedIn("locked after 30 minutes without a command")

    async def close(self, session: Session) -> None:
        self.closed.append(session)

    def user_name(self, session: Session) -> str:
        return "me@example.com"


def some_session() -> Session:
    """A session that nothing looks into."""
    return Session(cast("Vault", object()), cast("Api", object()))


@dataclass
class Shell:
    terminal: Terminal = field(default_factory=Terminal)
    mode: Mode = Mode.SESSION
    logins: Logins = field(default_factory=Logins)
    tunnels: FakeTunnels = field(default_factory=FakeTunnels)
    format: str = "table"
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.plugins = Plugins()
        self.plugins.register("shell", shell_plugin)
        self.plugins.register("sample", sample)
        self.context = ShellContext(
            console=StreamConsole(self.terminal),
            config=Options(),
            server="pam.example.com:8443",
            paths=Paths(Path("/nonexistent"), Path("/nonexistent/run")),
            clock=ManualClock(),
            mode=self.mode,
            tunnels=self.tunnels,
            logins=self.logins,
        )
        self.dispatcher = Dispatcher(self.plugins, self.context, self.terminal, self.format)
        self.runner = Runner(self.dispatcher, self.context, self.environment)
        self.batch = Batch(self.runner, self.context)
        self.history = History(self.plugins.registry, None, limit=100)
        self.control = Control(self.dispatcher, self.batch, self.history)
        self.context.attach_shell(self.control)
