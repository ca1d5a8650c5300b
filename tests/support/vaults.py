"""Accounts and open vaults on a `MemoryServer`, without the slow password hash."""

from __future__ import annotations

from commander.clock import Clock
from commander.crypto import aead
from commander.crypto.box import BoxPrivateKey
from commander.crypto.signing import SigningKey
from commander.ids import UserUid, new_uid
from commander.vault.accounts import AccountSecret, Identity, LoginKeys
from commander.vault.device import DeviceFile, new_device
from commander.vault.enrolment import Candidate, accept_commit, first_commit, root_of
from commander.vault.replica import Replica
from commander.vault.session import Vault
from commander.vault.store import Store
from commander.vault.sync import merge_log
from commander.wire import calls
from commander.wire.known_server import KnownServer
from commander.wire.proofs import invitation_key, invitation_uid
from tests.support.memory_server import MemoryServer

SERVER = KnownServer(
    "vault.example:8443",
    "AAAAAAAAAAAAAAAAAAAAAA",
    SigningKey(bytes(32)).public.raw,
    BoxPrivateKey.generate().public.raw,
    "",
)
EXPIRES = 2_000_000_000


def candidate(email: str, *, with_root: bool = False) -> Candidate:
    """Keys of an account, its password left out."""
    root = SigningKey.generate() if with_root else None
    return Candidate(
        UserUid(new_uid()),
        email,
        AccountSecret.generate(),
        LoginKeys(SigningKey.generate(), aead.new_key()),
        Identity(SigningKey.generate(), BoxPrivateKey.generate(), root),
        aead.new_key(),
    )


def device_for(account: Candidate, root: bytes, name: str = "laptop") -> DeviceFile:
    """A machine of an account."""
    return new_device(
        SERVER,
        root=root,
        email=account.email,
        user=account.user,
        account_secret=account.secret.raw,
        name=name,
    )


async def first_vault(
    server: MemoryServer,
    clock: Clock,
    *,
    email: str = "ann@example.org",
    store: Store | None = None,
) -> Vault:
    """Set an empty server up and open the first administrator's vault."""
    account = candidate(email, with_root=True)
    device = device_for(account, root_of(account))
    server.take(first_commit(account, device, name="Example", now=clock.now()))
    login = account.unlocked(device, session="s", expires=EXPIRES)
    return await Vault.open(login, server.remote_for(account.user), clock=clock, store=store)


async def second_vault(server: MemoryServer, clock: Clock, admin: Vault, email: str) -> Vault:
    """Invite somebody, accept, and open the new vault."""
    invitation = await admin.people.invite(email)
    account = candidate(email)
    root = admin.login.device.root
    device = device_for(account, root, "desktop")
    replica = Replica(account.user, account.identity)
    state = server.state()
    answer = calls.LogAnswer(tuple(server.stored.statements), state.seq, state.head)
    merge_log(replica, answer, fingerprint=root)
    server.take(
        accept_commit(
            account,
            device,
            replica,
            voucher=invitation_uid(invitation.secret),
            key=invitation_key(invitation.secret),
            now=clock.now(),
        )
    )
    login = account.unlocked(device, session="s", expires=EXPIRES)
    return await Vault.open(login, server.remote_for(account.user), clock=clock)


async def same_user_again(server: MemoryServer, clock: Clock, vault: Vault) -> Vault:
    """Another shell of the same user on the same device."""
    return await Vault.open(vault.login, server.remote_for(vault.user), clock=clock)
