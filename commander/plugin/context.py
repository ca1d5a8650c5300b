"""
What a command may use: the ports of the shell, owned here and filled in by launch.

A handler gets one `Context` per process. It holds no global state beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from commander.api.client import Api
    from commander.clock import Clock
    from commander.config.options import Options
    from commander.config.paths import Paths
    from commander.ids import FolderUid
    from commander.plugin.command import Command
    from commander.plugin.results import Result
    from commander.secret import Secret
    from commander.vault.session import Vault

_T = TypeVar("_T")


class Mode(Enum):
    """How the shell was started; long-lived commands (tunnels) behave by it."""

    SESSION = "session"  # what a command opens lives until it is stopped or the session ends
    ONE_SHOT = "one-shot"  # the command stays in the foreground
    BATCH = "batch"  # what a line opens lives until the batch ends


class Console(Protocol):
    """
    The user's terminal, or its absence.

    Only results go to stdout; all of this goes to stderr, except `emit`. Text
    from outside may be passed as it is: control characters are shown escaped.
    """

    @property
    def is_interactive(self) -> bool:
        """Whether somebody can answer a question."""
        ...

    def notice(self, text: str) -> None:
        """Say something; also from background tasks, it never breaks the line being typed."""
        ...

    def progress(self, text: str) -> None:
        """Say what is being waited for; replaced by the next one, left out without a terminal."""
        ...

    def emit(self, text: str) -> None:
        """Write a line of the result to stdout now, for results that never end (`tail -f`)."""
        ...

    def show(self, result: Result, format: str) -> None:
        """
        Write a whole result to stdout now, in a format of `--format`, for a command that goes on
        after it: a tunnel in the foreground.
        """
        ...

    def emit_data(self, data: bytes) -> None:
        """Write bytes of the result to stdout exactly; on a terminal as text that is safe there."""
        ...

    async def ask(self, question: str, *, default: str = "", flag: str = "") -> str:
        """
        Ask for a line. Raises UsageError naming `flag` without a terminal (or `default` is used),
        Interrupted when the user leaves the question.
        """
        ...

    async def ask_secret(self, question: str, *, flag: str = "") -> Secret:
        """Ask without echo. Raises UsageError naming `flag` without a terminal, or Interrupted."""
        ...

    async def confirm(self, question: str, *, force: bool) -> None:
        """
        Return when the user says yes, or at once with `force`.

        Raises Interrupted when the answer is not yes, UsageError without a terminal.
        """
        ...

    async def read_stdin(self, *, limit: int = 1024 * 1024) -> bytes:
        """
        Read all of standard input (`--...-stdin`).

        Raises InvalidInput over the limit, UsageError when it is a terminal or was used already.
        """
        ...


class Variables(Protocol):
    """Names set by `set` and by commands (`last_record_uid`), read by `${NAME}`."""

    def get(self, name: str) -> str | None:
        """The value, or None."""
        ...

    def set(self, name: str, value: str) -> None:
        """Set a value. Raises InvalidInput for a name that is not letters, digits and `_`."""
        ...

    def all(self) -> Mapping[str, str]:
        """A copy of all of them, sorted by name."""
        ...


class TunnelHost(Protocol):
    """The tunnels that live in this process; the shell needs only to count and to end them."""

    def open_count(self) -> int:
        """How many are open."""
        ...

    async def close_all(self, reason: str) -> None:
        """End all of them; idempotent."""
        ...


class ShellControl(Protocol):
    """The shell itself, for the commands that are about it (help, run, history, quit)."""

    def commands(self) -> Sequence[Command]:
        """All commands, sorted by path."""
        ...

    def help(self, words: Sequence[str]) -> str:
        """Help for a command or group; for no words the overview. Raises UsageError."""
        ...

    def history(self) -> Sequence[str]:
        """Lines of this session and earlier ones, oldest first, none with a secret."""
        ...

    async def run_file(
        self, path: str, *, keep_going: bool, dry_run: bool, trust_file: bool, format: str
    ) -> None:
        """
        Run a batch file (`-` is stdin) in this session, its results in this format unless a line
        asks for another. Raises the first line's error.
        """
        ...

    def quit(self) -> None:
        """End the session (or the batch) after this command."""
        ...


@dataclass
class Location:
    """Where `cd` has led: the current folder; the prompt shows `path` under the root's name."""

    folder: FolderUid | None = None
    path: tuple[str, ...] = field(default_factory=tuple)


class Context(Protocol):
    """
    Everything a command may use.

    `vault`, `api` raise NotLoggedIn without a session; for a command with
    `needs_login` the shell has made sure of one before the handler starts.
    """

    @property
    def vault(self) -> Vault:
        """The unlocked vault. Raises NotLoggedIn."""
        ...

    @property
    def api(self) -> Api:
        """The signed-in client of the server. Raises NotLoggedIn."""
        ...

    @property
    def is_logged_in(self) -> bool:
        """Whether `vault` and `api` are there now."""
        ...

    async def require_login(self) -> None:
        """Resume a kept login if there is one. Raises NotLoggedIn."""
        ...

    def start_session(self, vault: Vault, api: Api) -> None:
        """Take over what `login` made; the shell closes it at its end."""
        ...

    async def end_session(self) -> None:
        """Close tunnels, vault and api (`logout`); idempotent."""
        ...

    @property
    def tunnels(self) -> TunnelHost:
        """The tunnels of this process."""
        ...

    def shared(self, kind: type[_T], make: Callable[[], _T]) -> _T:
        """One object of this type for the life of the process, made at first use."""
        ...

    @property
    def console(self) -> Console:
        """The terminal."""
        ...

    @property
    def variables(self) -> Variables:
        """`${NAME}` values."""
        ...

    @property
    def location(self) -> Location:
        """The current folder."""
        ...

    @property
    def config(self) -> Options:
        """config.yaml, read once."""
        ...

    @property
    def server(self) -> str:
        """`host:port` by `--server` or config.yaml, or empty when none is known."""
        ...

    @property
    def paths(self) -> Paths:
        """Where files live."""
        ...

    @property
    def clock(self) -> Clock:
        """The time."""
        ...

    @property
    def mode(self) -> Mode:
        """Session, one-shot or batch."""
        ...

    @property
    def exit_stack(self) -> AsyncExitStack:
        """Closed when the session, the batch or the one-shot command ends, newest first."""
        ...

    @property
    def shell(self) -> ShellControl:
        """The shell itself."""
        ...
