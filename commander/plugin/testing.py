"""
For the tests of plugins: run a command as the shell would, with a context that records.

    async def test_list_shows_nothing_first() -> None:
        context = FakeContext(vault=my_vault)

        result = await run_command(plugin, "pam gateway list", context)

        assert isinstance(result, Table)
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from commander.clock import Clock, ManualClock
from commander.config.options import Options
from commander.config.paths import Paths
from commander.errors import Interrupted, NotLoggedIn, UsageError
from commander.plugin.command import Command
from commander.plugin.context import Location, Mode, ShellControl, TunnelHost
from commander.plugin.handler import resolve_handler
from commander.plugin.manager import Plugins
from commander.plugin.parser import parse_arguments
from commander.plugin.results import Result
from commander.plugin.variables import SessionVariables
from commander.secret import Secret

if TYPE_CHECKING:
    from commander.api.client import Api
    from commander.vault.session import Vault

_T = TypeVar("_T")


class FakeConsole:
    """Records what is said and answers from a list; without answers it is no terminal."""

    def __init__(self, *answers: str, stdin: bytes = b"") -> None:
        self.answers = list(answers)
        self.stdin = stdin
        self.notices: list[str] = []
        self.emitted: list[str] = []
        self.shown: list[Result] = []
        self.data = b""
        self.questions: list[str] = []
        self.is_interactive = bool(answers)

    def notice(self, text: str) -> None:
        """Record it."""
        self.notices.append(text)

    def progress(self, text: str) -> None:
        """Leave it out, as without a terminal."""

    def emit(self, text: str) -> None:
        """Record it."""
        self.emitted.append(text)

    def show(self, result: Result, format: str) -> None:
        """Record it."""
        self.shown.append(result)

    def emit_data(self, data: bytes) -> None:
        """Record it."""
        self.data += data

    async def ask(self, question: str, *, default: str = "", flag: str = "") -> str:
        """Give the next answer, or behave as without a terminal."""
        if not self.is_interactive and default:
            return default
        return self._answer(question, flag) or default

    async def ask_secret(self, question: str, *, flag: str = "") -> Secret:
        """Give the next answer as a secret."""
        return Secret(self._answer(question, flag))

    async def confirm(self, question: str, *, force: bool) -> None:
        """Pass when forced or when the next answer is y or yes."""
        if not force and self._answer(question, "-f").lower() not in ("y", "yes"):
            raise Interrupted("not confirmed, nothing was changed")

    async def read_stdin(self, *, limit: int = 1024 * 1024) -> bytes:
        """Give the bytes of `stdin`."""
        return self.stdin[:limit]

    def _answer(self, question: str, flag: str) -> str:
        assert not question.endswith((":", " ")), "the shell writes the colon"
        if not self.is_interactive:
            raise UsageError(f"{question!r} needs an answer", hint=f"give {flag}")
        self.questions.append(question)
        assert self.answers, f"no answer is left for {question!r}"
        return self.answers.pop(0)


class FakeTunnels:
    """A tunnel host that counts."""

    def __init__(self, count: int = 0) -> None:
        self.count = count
        self.closed: list[str] = []

    def open_count(self) -> int:
        """What the test says."""
        return self.count

    async def close_all(self, reason: str) -> None:
        """Forget them and record why."""
        self.count = 0
        self.closed.append(reason)


def _paths() -> Paths:
    return Paths(home=Path("/nonexistent/home"), runtime=Path("/nonexistent/run"))


@dataclass
class FakeContext:
    """A context in memory; give it what the command under test needs."""

    console: FakeConsole = field(default_factory=FakeConsole)
    variables: SessionVariables = field(default_factory=SessionVariables)
    location: Location = field(default_factory=Location)
    config: Options = field(default_factory=Options)
    paths: Paths = field(default_factory=_paths)
    clock: Clock = field(default_factory=ManualClock)
    mode: Mode = Mode.ONE_SHOT
    server: str = ""
    tunnels: TunnelHost = field(default_factory=FakeTunnels)
    exit_stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    open_vault: Vault | None = None
    open_api: Api | None = None
    control: ShellControl | None = None
    _shared: dict[type[Any], Any] = field(default_factory=dict)

    @property
    def vault(self) -> Vault:
        """The vault the test gave."""
        if self.open_vault is None:
            raise NotLoggedIn("you are not logged in", hint="login EMAIL")
        return self.open_vault

    @property
    def api(self) -> Api:
        """The client the test gave."""
        if self.open_api is None:
            raise NotLoggedIn("you are not logged in", hint="login EMAIL")
        return self.open_api

    @property
    def is_logged_in(self) -> bool:
        """Whether the test gave a vault."""
        return self.open_vault is not None

    async def require_login(self) -> None:
        """Raise NotLoggedIn unless the test gave a vault."""
        _ = self.vault

    def start_session(self, vault: Vault, api: Api) -> None:
        """Keep them."""
        self.open_vault, self.open_api = vault, api

    async def end_session(self) -> None:
        """Forget them."""
        await self.tunnels.close_all("logged out")
        self.open_vault = self.open_api = None

    def shared(self, kind: type[_T], make: Callable[[], _T]) -> _T:
        """One object of a type for the life of this context."""
        if kind not in self._shared:
            self._shared[kind] = make()
        found: _T = self._shared[kind]
        return found

    @property
    def shell(self) -> ShellControl:
        """The control the test gave."""
        assert self.control is not None, "this command uses the shell: give a control"
        return self.control


def load_plugin(plugin: object) -> Plugins:
    """Register one plugin module as the shell would, with all checks of its declarations."""
    plugins = Plugins()
    plugins.register("under-test", plugin)
    return plugins


async def run_command(
    plugin: object, line: str | Sequence[str], context: FakeContext
) -> Result | None:
    """
    Run a line of a plugin as the shell would, and give its result unrendered.

    Raises what the shell would report: UsageError for a line that does not parse,
    NotLoggedIn, and whatever the command raises.
    """
    words = shlex.split(line) if isinstance(line, str) else list(line)
    match = load_plugin(plugin).registry.find(words)
    if match.command is None:
        raise UsageError(f"unknown command {' '.join(words)!r}")
    command = match.command
    arguments = parse_arguments(command, words[match.length :])
    if command.needs_login:
        await context.require_login()
    if command.destructive and not arguments.flag("force") and not context.console.is_interactive:
        raise UsageError(f"{command.path} asks before it acts", hint="-f goes on unasked")
    return await resolve_handler(command)(context, arguments)


def check_plugin(plugin: object) -> list[Command]:
    """
    Check all a plugin declares, further than a start of the shell does: every handler is
    imported and every example parses. Returns its commands.
    """
    registry = load_plugin(plugin).registry
    for command in registry.commands():
        resolve_handler(command)
        words = shlex.split(command.example)
        match = registry.find(words)
        assert match.command is command, f"the example of {command.path!r} runs something else"
        parse_arguments(command, words[match.length :])
    return registry.commands()
