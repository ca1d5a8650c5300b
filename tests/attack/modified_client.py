"""
A client that checks nothing: it signs and sends what its user wants, with the keys its user has.

Server and gateway are the real programs. What they refuse, no client can do.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from commander.api.bootstrap import open_transport
from commander.api.client import Api, Caller
from commander.clock import SystemClock
from commander.config.paths import Paths
from commander.errors import CommanderError
from commander.hosting.conversation import Position, TunnelRequest
from commander.hosting.host import Hosting, Link, StartOptions
from commander.hosting.hosted import HostedTunnel
from commander.vault.draft import Author, Draft
from commander.vault.opening import tunnel_seed
from commander.vault.session import Vault
from commander.vault.unlock import resume_login
from commander.wire import calls
from commander.wire.commands import TunnelParameters
from tests.support.product import User


@dataclass
class ModifiedClient:
    """One user's device; `notices` are what the product would have told its user."""

    vault: Vault
    api: Api
    hosting: Hosting
    notices: list[str]

    async def sync(self) -> None:
        """Bring the local copy up to date."""
        await self.vault.refresh(max_age_s=0)

    async def write(self, build: Callable[[Draft], object]) -> str:
        """Sign and commit what `build` puts into a draft; the code of the refusal, or ""."""
        await self.sync()
        login = self.vault.login
        author = Author(
            self.vault.user, self.vault.device, login.identity.sign, login.device.signing_key()
        )
        draft = Draft(self.vault._replica, author, now=SystemClock().now())
        build(draft)
        return await self.call(calls.COMMIT, draft.commit())

    async def call(self, call: calls.Call[Any, Any], request: Any) -> str:
        """Make any call; the code of the refusal, or ""."""
        try:
            await self.api.call(call, request)
        except CommanderError as error:
            return error.code
        return ""

    async def start(
        self,
        record: str,
        *,
        gateway: str = "",
        parameters: TunnelParameters | None = None,
    ) -> HostedTunnel:
        """Ask a gateway for a tunnel to a record, whether it is one of ours or not."""
        await self.sync()
        known = self.vault.view.records.get(record)
        gateways = list(self.vault.state.gateways.values())
        chosen = next((g for g in gateways if g.gateway == gateway), gateways[0])
        request = TunnelRequest(
            record=record,
            title="Target",
            record_revision=known.revision if known else 1,
            settings_revision=self.vault.settings_revision(record) if known else 1,
            remote="",
            gateway=chosen.gateway,
            gateway_sign_key=chosen.sign_key,
            gateway_box_key=chosen.box_key,
            device=self.vault.device,
            user=self.vault.user,
            device_key=self.vault.login.device.signing_key(),
            tunnel_seed=tunnel_seed(known.key) if known else secrets.token_bytes(32),
            parameters=parameters or TunnelParameters("", 0, "", ""),
        )
        return await self.hosting.start(request, StartOptions(path="relay", new=True))

    async def refusal(self, record: str, **how: Any) -> str:
        """The code with which a tunnel is refused; "" when it opened (and was stopped again)."""
        try:
            tunnel = await self.start(record, **how)
        except CommanderError as error:
            return error.code
        await self.hosting.stop(tunnel.info(), "end of test")
        return ""


@asynccontextmanager
async def modified_client(user: User) -> AsyncIterator[ModifiedClient]:
    """Go on with the login that a user's `commander` left on their machine."""
    clock = SystemClock()
    paths = Paths(user.home.commander, user.home.runtime / "commander")
    login = resume_login(paths, clock)
    device = login.device
    caller = Caller(device.device, login.session, device.signing_key())
    api = Api(open_transport(device.server, {}), device.server, clock=clock, caller=caller)
    notices: list[str] = []
    hosting = Hosting(paths, clock, notify=notices.append)
    try:
        vault = await Vault.open(login, api, clock=clock)

        def position() -> Position:
            return Position(vault.state.seq, vault.state.head)

        hosting.use(Link(api, {}, position, "test"))
        yield ModifiedClient(vault, api, hosting, notices)
    finally:
        await hosting.close_all("end of test")
        await api.close()
