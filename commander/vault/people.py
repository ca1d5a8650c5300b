"""Users, devices, roles and invitations, as signed statements."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from commander.authority.decide import Action
from commander.authority.email import normal_email
from commander.authority.statements import (
    Device,
    Kind,
    Membership,
    Revoke,
    Role,
    User,
    Voucher,
)
from commander.errors import Conflict, NotFound
from commander.ids import RoleUid, UserUid, is_uid, new_uid
from commander.vault.draft import Draft
from commander.wire.calls import NewInvitation
from commander.wire.proofs import invitation_key, invitation_uid

if TYPE_CHECKING:
    from commander.vault.session import Vault

INVITATION_S = 7 * 24 * 3600


@dataclass(frozen=True)
class Invitation:
    """An invitation's secret, shown once in a join string."""

    secret: bytes = field(repr=False)
    email: str
    expires: int


@dataclass(frozen=True)
class RoleChange:
    """What one call of `change_role` does; all of it or nothing."""

    enforcements: Mapping[str, bool] = field(default_factory=dict)
    unset: tuple[str, ...] = ()
    add_users: tuple[str, ...] = ()
    remove_users: tuple[str, ...] = ()
    name: str = ""


class People:
    """Reached as `vault.people`."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def users(self) -> list[User]:
        """All users, by e-mail."""
        return sorted(self._vault.state.users.values(), key=lambda user: user.email)

    def email_of(self, uid: str) -> str:
        """A user's e-mail, or "" for one that was removed."""
        user = self._vault.state.users.get(uid)
        return user.email if user else ""

    def find_user(self, text: str) -> User:
        """A user by UID or e-mail. Raises NotFound."""
        user = self._vault.state.users.get(text) if is_uid(text) else None
        user = user or self._vault.state.user_by_email(normal_email(text))
        if user is None:
            raise NotFound(f"no user {text[:80]!r}")
        return user

    def devices(self, user: str) -> list[Device]:
        """A user's devices."""
        return [device for device in self._vault.state.devices.values() if device.user == user]

    def is_administrator(self, user: str) -> bool:
        """Whether a user may manage users, roles and invitations."""
        return self._vault.state.administrators.get(user) is not None

    def roles(self) -> list[Role]:
        """All roles, by name."""
        return sorted(self._vault.state.roles.values(), key=lambda role: role.name.casefold())

    def role_users(self, role: str) -> list[UserUid]:
        """Members of a role."""
        return [m.user for m in self._vault.state.memberships.values() if m.role == role]

    def find_role(self, text: str) -> Role:
        """A role by UID or name. Raises NotFound."""
        for role in self.roles():
            if text in (role.role, role.name):
                return role
        raise NotFound(f"no role {text[:80]!r}", hint="enterprise-info --roles lists them")

    async def invite(self, email: str, *, valid_s: int = INVITATION_S) -> Invitation:
        """Let the holder of a new secret make the account of an e-mail."""
        vault = self._vault
        normal = normal_email(email)
        secret = secrets.token_bytes(32)
        uid = invitation_uid(secret)

        def build(draft: Draft) -> int:
            vault.require(Action.ADMINISTER)
            if vault.state.user_by_email(normal) is not None:
                raise Conflict(f"user {normal} exists already")
            expires = draft.time + valid_s
            public = invitation_key(secret).public.raw
            draft.state(Voucher(uid, "user", normal, "", public, expires, False))
            draft.invitations.append(NewInvitation(uid, normal, expires))
            return expires

        expires = await vault.commit(build)
        return Invitation(secret, normal, expires)

    async def create_role(self, name: str, enforcements: Mapping[str, bool]) -> Role:
        """Make a role. Raises Conflict when the name is taken."""
        vault = self._vault
        uid = RoleUid(new_uid())

        def build(draft: Draft) -> None:
            vault.require(Action.ADMINISTER)
            if any(role.name == name for role in vault.state.roles.values()):
                raise Conflict(f"role {name!r} exists already")
            draft.state(Role(uid, name, dict(enforcements)))

        await vault.commit(build)
        return self.find_role(uid)

    async def change_role(self, uid: str, change: RoleChange) -> bool:
        """Change a role's policies, name and members at once. Returns False when nothing differed."""
        vault = self._vault

        def build(draft: Draft) -> bool:
            vault.require(Action.ADMINISTER)
            role = self.find_role(uid)
            wanted = {**role.enforcements, **change.enforcements}
            for key in change.unset:
                wanted.pop(key, None)
            after = Role(role.role, change.name or role.name, wanted)
            if after != role:
                draft.state(after)
            members = set(self.role_users(uid))
            for user in change.add_users:
                if UserUid(user) not in members:
                    draft.state(Membership(role.role, UserUid(user)))
            for user in change.remove_users:
                if UserUid(user) in members:
                    draft.state(Revoke(Kind.MEMBERSHIP, role.role, user))
            return bool(draft.statements)

        return await vault.commit(build)

    async def remove_role(self, uid: str) -> None:
        """End a role."""
        await self._revoke(Kind.ROLE, uid)

    async def remove_user(self, uid: str) -> None:
        """End a user."""
        await self._revoke(Kind.USER, uid)

    async def remove_device(self, uid: str) -> None:
        """End a device: its next request is refused."""
        await self._revoke(Kind.DEVICE, uid)

    async def _revoke(self, kind: Kind, uid: str) -> None:
        await self._vault.commit(lambda draft: draft.state(Revoke(kind, uid, "")))
