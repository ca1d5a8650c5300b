"""
The backend on real HTTPS and real SQLite in the test's own event loop, with a clock the test moves.

`People` of it are accounts made as the product makes them, without the slow password hash.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
import uvicorn

from commander import tasks
from commander.api.client import Api, Caller
from commander.api.http import HttpTransport
from commander.api.tls import verified_context
from commander.backend import identity, tls
from commander.backend.app import build_app
from commander.backend.core import Core, open_core
from commander.backend.http.protocol import HEADERS_BYTES, ImpatientHttpProtocol
from commander.clock import ManualClock, SystemClock
from commander.codec import Message
from commander.errors import CommanderError
from commander.vault.device import DeviceFile, new_device
from commander.vault.draft import Author, Draft
from commander.vault.enrolment import Candidate, accept_commit, first_commit, root_of
from commander.vault.replica import Replica
from commander.vault.session import Vault
from commander.vault.sync import merge_log
from commander.wire import calls
from commander.wire.known_server import KnownServer
from commander.wire.proofs import invitation_key, invitation_uid, sign_invitation
from commander.wire.requests import Answer, SignedRequest, open_answer, seal_request
from tests.support.vaults import candidate

_Q = TypeVar("_Q", bound=Message)
_A = TypeVar("_A", bound=Message)


class _Uvicorn(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


@dataclass
class Person:
    """An account on one device, with its session."""

    server: BackendServer
    account: Candidate
    device: DeviceFile
    session: str
    expires: int
    api: Api
    vault: Vault = field(init=False)

    @property
    def user(self) -> str:
        """The user's UID."""
        return self.account.user

    async def open(self) -> Person:
        """Open the vault."""
        login = self.account.unlocked(self.device, session=self.session, expires=self.expires)
        self.vault = await Vault.open(login, self.api, clock=self.server.clock)
        return self

    def draft(self) -> Draft:
        """A change at the newest state the vault has seen."""
        device = self.device
        author = Author(
            device.user, device.device, self.account.identity.sign, device.signing_key()
        )
        return Draft(self.vault._replica, author, now=self.server.clock.now())

    async def call(self, call: calls.Call[_Q, _A], request: _Q) -> _A:
        """Make one call."""
        return await self.api.call(call, request)


class BackendServer:
    """One running server; see `running`."""

    def __init__(self, core: Core, clock: ManualClock, known: KnownServer) -> None:
        self.core = core
        self.clock = clock
        self.known = known
        self.root = b""
        self._apis: list[Api] = []

    def transport(self) -> HttpTransport:
        """A verified connection of its own."""
        return HttpTransport(self.known.address, verified_context(self.known.ca))

    def http(self) -> httpx.AsyncClient:
        """A verified client for requests that ours would never send."""
        # A hundred calls at once on a busy machine take longer than httpx waits by itself.
        return httpx.AsyncClient(
            base_url=f"https://{self.known.address}",
            verify=verified_context(self.known.ca),
            trust_env=False,
            timeout=60,
        )

    def api(self, caller: Caller | None = None) -> Api:
        """A client."""
        api = Api(self.transport(), self.known, clock=self.clock, caller=caller)
        self._apis.append(api)
        return api

    async def setup_request(
        self, email: str = "ann@example.org", secret: bytes | None = None
    ) -> tuple[Candidate, DeviceFile, calls.SetupRequest]:
        """A request that would set the server up."""
        if secret is None:
            secret = await identity.new_setup_secret(self.core.database)
        account = candidate(email, with_root=True)
        root = root_of(account)
        device = self.device_for(account, root)
        commit = first_commit(account, device, name="Example", now=self.clock.now())
        return account, device, calls.SetupRequest(secret, account.account(), commit)

    async def set_up(self) -> Person:
        """The first administrator."""
        account, device, request = await self.setup_request()
        self.root = root_of(account)
        answer = await self.api().call(calls.SETUP, request)
        return await self.person(account, device, answer.session, answer.expires).open()

    def device_for(self, account: Candidate, root: bytes, name: str = "laptop") -> DeviceFile:
        """A machine of an account."""
        return new_device(
            self.known, root=root, email=account.email, user=account.user,
            account_secret=account.secret.raw, name=name,
        )  # fmt: skip

    def person(self, account: Candidate, device: DeviceFile, session: str, expires: int) -> Person:
        """An account with a session."""
        api = self.api(Caller(device.device, session, device.signing_key()))
        return Person(self, account, device, session, expires, api)

    async def add_person(self, admin: Person, email: str) -> Person:
        """Invite somebody and accept."""
        await admin.vault.refresh()
        invitation = await admin.vault.people.invite(email)
        account, device, request = await self.accept_request(invitation.secret, email)
        answer = await self.api().call(calls.ACCEPT, request)
        return await self.person(account, device, answer.session, answer.expires).open()

    async def accept_request(
        self, secret: bytes, email: str
    ) -> tuple[Candidate, DeviceFile, calls.AcceptRequest]:
        """A request that would accept an invitation."""
        key, voucher = invitation_key(secret), invitation_uid(secret)
        now = int(self.clock.now())
        answer = await self.api().call(calls.INVITATION, sign_invitation(key, voucher, now))
        account = candidate(email)
        device = self.device_for(account, self.root)
        replica = Replica(account.user, account.identity)
        merge_log(replica, answer, fingerprint=self.root)
        commit = accept_commit(account, device, replica, voucher=voucher, key=key, now=now)
        return account, device, calls.AcceptRequest(voucher, account.account(), commit)

    async def close(self) -> None:
        """Close the clients."""
        for api in self._apis:
            await api.close()


@contextlib.asynccontextmanager
async def running(
    directory: Path, clock: ManualClock | None = None
) -> AsyncIterator[BackendServer]:
    """A server in this loop, on a free port."""
    clock = clock or ManualClock()
    # The certificate is of the machine's own time: TLS libraries read no manual clock.
    authority = tls.load_authority(directory, now=_real_now())
    tls.ensure_certificate(directory, authority, [], now=_real_now())
    core = await open_core(directory / "server.db", clock, ca_pem=authority.pem)
    context = tls.server_context(directory / "tls.pem", directory / "tls.key")
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    config = uvicorn.Config(
        build_app(core), http=ImpatientHttpProtocol, ws="none", lifespan="off", log_config=None,
        h11_max_incomplete_event_size=HEADERS_BYTES, timeout_graceful_shutdown=2,
        timeout_keep_alive=10,
        ssl_context_factory=lambda _config, _default: context,
    )  # fmt: skip
    web = _Uvicorn(config)
    serving = tasks.spawn(web.serve([listener]), name="uvicorn")
    await web.ready.wait()
    address = f"127.0.0.1:{listener.getsockname()[1]}"
    keys = core.identity
    known = KnownServer(address, keys.uid, keys.sign.public.raw, keys.box.public.raw, authority.pem)
    server = BackendServer(core, clock, known)
    try:
        yield server
    finally:
        await server.close()
        web.should_exit = True
        await serving
        await core.close()


def _real_now() -> float:
    return SystemClock().now()


@contextlib.contextmanager
def refused(code: str) -> Iterator[None]:
    """The block ends with a refusal of exactly this code."""
    with pytest.raises(CommanderError) as caught:
        yield
    error = caught.value
    assert error.code == code, f"refused with {error.code} ({error}), expected {code}"


def changed(message: Any, **values: Any) -> Any:
    """A message with other values."""
    fields = {name: getattr(message, name) for name in message.__struct_fields__}
    return type(message)(**(fields | values))


async def send(server: BackendServer, path: str, signed: SignedRequest) -> Answer:
    """Send a request exactly as it is; the opened answer."""
    path = calls.PREFIX + path
    box = server.core.identity.box.public
    sealed, key = seal_request(box, signed, method="POST", path=path)
    transport = server.transport()
    try:
        found = await transport.post(path, sealed, timeout_s=30)
    finally:
        await transport.close()
    return open_answer(key, sealed, found.body)
