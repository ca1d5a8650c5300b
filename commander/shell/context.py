"""The `Context` that commands get: one per process, filled in by launch."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from commander.errors import NotLoggedIn
from commander.plugin.context import Location, Mode, ShellControl, TunnelHost
from commander.plugin.variables import SessionVariables

if TYPE_CHECKING:
    from commander.api.client import Api
    from commander.clock import Clock
    from commander.config.options import Options
    from commander.config.paths import Paths
    from commander.plugin.context import Context
    from commander.shell.console import StreamConsole
    from commander.vault.session import Vault

_T = TypeVar("_T")


@dataclass(frozen=True)
class Session:
    """What a login made."""

    vault: Vault
    api: Api


class LoginKeeper(Protocol):
    """Resumes and ends logins; launch knows how, the shell does not."""

    async def resume(self, context: Context) -> Session | None:
        """Go on with a kept login of this machine, or None when there is none."""
        ...

    async def check(self, context: Context) -> None:
        """Note one more use of the session. Raises NotLoggedIn when it was idle too long."""
        ...

    async def close(self, session: Session) -> None:
        """Close the vault and the client; idempotent."""
        ...

    def user_name(self, session: Session) -> str:
        """The account, for the status line."""
        ...


@dataclass
class ShellContext:
    """Implements `commander.plugin.context.Context`; see there for what each part promises."""

    console: StreamConsole
    config: Options
    server: str
    paths: Paths
    clock: Clock
    mode: Mode
    tunnels: TunnelHost
    logins: LoginKeeper
    variables: SessionVariables = field(default_factory=SessionVariables)
    location: Location = field(default_factory=Location)
    exit_stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    _session: Session | None = None
    _shell: ShellControl | None = None
    _shared: dict[type[Any], Any] = field(default_factory=dict)

    @property
    def shell(self) -> ShellControl:
        """The shell itself."""
        assert self._shell is not None, "attach_shell was not called"
        return self._shell

    def attach_shell(self, shell: ShellControl) -> None:
        """Close the circle: the shell runs commands that use the shell."""
        self._shell = shell

    @property
    def vault(self) -> Vault:
        """The unlocked vault."""
        return self._open_session().vault

    @property
    def api(self) -> Api:
        """The signed-in client."""
        return self._open_session().api

    def _open_session(self) -> Session:
        if self._session is None:
            raise NotLoggedIn("you are not logged in", hint="login EMAIL")
        return self._session

    @property
    def is_logged_in(self) -> bool:
        """Whether there is a session now."""
        return self._session is not None

    @property
    def user_name(self) -> str:
        """The account of the session, or empty."""
        return "" if self._session is None else self.logins.user_name(self._session)

    async def require_login(self) -> None:
        """Resume a kept login if there is one; a session that was idle too long is locked."""
        if self._session is None:
            self._session = await self.logins.resume(self)
        else:
            await self._check(self._session)
        self._open_session()

    async def _check(self, session: Session) -> None:
        try:
            await self.logins.check(self)
        except NotLoggedIn:
            # The vault is forgotten at once; tunnels go on, and with them their client.
            self._session = None
            self.exit_stack.push_async_callback(self.logins.close, session)
            raise

    def start_session(self, vault: Vault, api: Api) -> None:
        """Take over what `login` made."""
        self._session = Session(vault, api)

    async def end_session(self) -> None:
        """Close tunnels, vault and client."""
        await self.tunnels.close_all("logged out")
        session, self._session = self._session, None
        self.location.folder, self.location.path = None, ()
        if session is not None:
            await self.logins.close(session)

    def shared(self, kind: type[_T], make: Callable[[], _T]) -> _T:
        """One object of a type for the life of the process."""
        if kind not in self._shared:
            self._shared[kind] = make()
        found: _T = self._shared[kind]
        return found

    async def close_opened(self, reason: str) -> None:
        """End what commands have left open (tunnels, exit stack); more may be opened after."""
        try:
            await self.tunnels.close_all(reason)
        finally:
            stack, self.exit_stack = self.exit_stack, AsyncExitStack()
            await stack.aclose()

    async def close(self, reason: str) -> None:
        """End everything at the end of the process; idempotent."""
        try:
            await self.close_opened(reason)
        finally:
            await self.end_session()
