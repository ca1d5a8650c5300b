"""
Making accounts and certifying devices; pure but for randomness. Clients make accounts, never a
server: what leaves here is public or wrapped.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from commander.authority.policies import POLICIES
from commander.authority.statements import (
    ROOT,
    Administrator,
    Device,
    Genesis,
    Membership,
    Role,
    User,
    root_fingerprint,
)
from commander.crypto import aead
from commander.crypto.box import BoxPrivateKey
from commander.crypto.signing import SigningKey
from commander.ids import FolderUid, RoleUid, UserUid, new_uid
from commander.vault import folders
from commander.vault.accounts import (
    AccountSecret,
    Identity,
    LoginKeys,
    check_new_password,
    derive_login_keys,
    wrap_data_key,
    wrap_identity,
)
from commander.vault.device import DeviceFile
from commander.vault.draft import Author, Draft
from commander.vault.replica import Replica
from commander.vault.unlock import Unlocked
from commander.wire.calls import Commit, NewAccount

ROLE_NAME = "Administrators"
PERSONAL_NAME = "My Vault"


@dataclass(frozen=True)
class Candidate:
    """An account that is about to be made: all its keys, on this machine only."""

    user: UserUid
    email: str
    secret: AccountSecret = field(repr=False)
    keys: LoginKeys = field(repr=False)
    identity: Identity = field(repr=False)
    data_key: bytes = field(repr=False)

    def account(self) -> NewAccount:
        """What the server keeps."""
        return NewAccount(
            email=self.email,
            user=self.user,
            login_key=self.keys.login.public.raw,
            wrapped_data_key=wrap_data_key(self.keys, self.data_key, self.email),
            wrapped_identity=wrap_identity(
                self.data_key, self.identity, user=self.user, email=self.email
            ),
        )

    def unlocked(self, device: DeviceFile, *, session: str, expires: int) -> Unlocked:
        """The login that goes with the new account."""
        return Unlocked(device, session, expires, self.data_key, self.identity)


def new_candidate(email: str, password: bytes, *, with_root: bool) -> Candidate:
    """
    Make all keys of an account; slow (Argon2), so run it in a thread.

    `with_root` also makes the enterprise root, for the first account of a server. Raises
    InvalidInput for a password that is too short.
    """
    check_new_password(password)
    secret = AccountSecret.generate()
    root = SigningKey.generate() if with_root else None
    identity = Identity(SigningKey.generate(), BoxPrivateKey.generate(), root)
    keys = derive_login_keys(password, secret, email)
    return Candidate(UserUid(new_uid()), email, secret, keys, identity, aead.new_key())


def root_of(candidate: Candidate) -> bytes:
    """The fingerprint of the root made with a candidate."""
    assert candidate.identity.root is not None
    return root_fingerprint(candidate.identity.root.public.raw)


def first_commit(candidate: Candidate, device: DeviceFile, *, name: str, now: float) -> Commit:
    """Genesis, first user, administrator, device, Administrators role, personal folder."""
    root = candidate.identity.root
    assert root is not None
    draft = _draft(Replica(candidate.user, candidate.identity), candidate, device, now)
    draft.state(Genesis(new_uid(), name, root.public.raw), signer=ROOT, key=root)
    draft.state(_user(candidate), signer=ROOT, key=root)
    draft.state(Administrator(candidate.user), signer=ROOT, key=root)
    draft.state(device_statement(device))
    role = RoleUid(new_uid())
    draft.state(Role(role, ROLE_NAME, dict.fromkeys(POLICIES, True)))
    draft.state(Membership(role, candidate.user))
    _add_personal(draft)
    return draft.commit()


def accept_commit(
    candidate: Candidate,
    device: DeviceFile,
    replica: Replica,
    *,
    voucher: str,
    key: SigningKey,
    now: float,
) -> Commit:
    """The user by the invitation's key, the device, the personal folder, after the log so far."""
    draft = _draft(replica, candidate, device, now)
    draft.state(_user(candidate), signer=voucher, key=key)
    draft.state(device_statement(device))
    _add_personal(draft)
    return draft.commit()


def device_statement(device: DeviceFile) -> Device:
    """The certificate of this machine, to be signed by its user."""
    return Device(
        device.device,
        device.user,
        device.name,
        device.signing_key().public.raw,
        BoxPrivateKey(device.box_key).public.raw,
    )


def _draft(replica: Replica, candidate: Candidate, device: DeviceFile, now: float) -> Draft:
    author = Author(candidate.user, device.device, candidate.identity.sign, device.signing_key())
    return Draft(replica, author, now=now)


def _user(candidate: Candidate) -> User:
    identity = candidate.identity
    return User(candidate.user, candidate.email, identity.sign.public.raw, identity.box.public.raw)


def _add_personal(draft: Draft) -> None:
    folders.add_domain(draft, FolderUid(new_uid()), PERSONAL_NAME, personal=True)
