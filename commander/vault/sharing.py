"""Shared folders and who may use them, as signed statements with the keys that go with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from commander.authority.decide import Action
from commander.authority.statements import Access, Kind, Revoke, Right
from commander.crypto.box import BoxPublicKey
from commander.errors import Conflict, NotFound
from commander.ids import FolderUid, UserUid
from commander.vault.draft import Draft

if TYPE_CHECKING:
    from commander.vault.session import Vault


@dataclass(frozen=True)
class Member:
    """Who may use a shared folder, and how; times 0 mean without end."""

    kind: str
    uid: str
    name: str
    rights: tuple[str, ...]
    not_before: int
    not_after: int


class Sharing:
    """Reached as `vault.sharing`."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    async def share_with_user(
        self,
        folder: str,
        user: str,
        rights: tuple[Right, ...],
        *,
        not_before: int = 0,
        not_after: int = 0,
    ) -> bool:
        """Let a user into a folder, or change how. Returns False when it is so already."""
        vault = self._vault

        def build(draft: Draft) -> bool:
            domain = _domain(vault, folder)
            vault.require(Action.SHARE, domain)
            found = vault.state.users.get(user)
            if found is None:
                raise NotFound(f"no user {user}")
            access = Access(FolderUid(domain), "user", user, rights, not_before, not_after)
            if vault.state.accesses.get((domain, user)) == access:
                return False
            draft.state(access)
            draft.grant("folder", domain, UserUid(user), BoxPublicKey(found.box_key))
            return True

        return await vault.commit(build)

    async def unshare(self, folder: str, principal: str) -> bool:
        """End a user's or application's access. Returns False when there was none."""
        vault = self._vault

        def build(draft: Draft) -> bool:
            domain = _domain(vault, folder)
            if vault.state.accesses.get((domain, principal)) is None:
                return False
            draft.state(Revoke(Kind.ACCESS, domain, principal))
            return True

        return await vault.commit(build)

    def members(self, folder: str) -> list[Member]:
        """Owner first, then those it is shared with."""
        vault = self._vault
        domain = _domain(vault, folder)
        owner = vault.state.folders.get(domain)
        found = []
        if owner is not None:
            name = vault.people.email_of(owner.owner)
            rights = tuple(right.value for right in Right)
            found.append(Member("owner", owner.owner, name, rights, 0, 0))
        for access in vault.state.folder_members(domain):
            name = self._name(access)
            rights = tuple(right.value for right in access.rights)
            found.append(
                Member(
                    access.principal_kind, access.principal, name, rights, access.not_before,
                    access.not_after,
                )
            )  # fmt: skip
        return found

    def _name(self, access: Access) -> str:
        if access.principal_kind == "user":
            return self._vault.people.email_of(access.principal)
        titles = {app.uid: app.title for app in self._vault.view.applications()}
        return next((title for uid, title in titles.items() if uid == access.principal), "")


def _domain(vault: Vault, folder: str) -> str:
    found = vault.view.folders.get(folder)
    if found is None:
        raise NotFound(f"no folder {folder}")
    if not found.is_domain or found.uid == vault.view.root:
        raise Conflict(
            f"folder {found.name!r} is not a shared folder",
            hint="share the shared folder it is in, or make one: mkdir -sf NAME",
        )
    return found.uid
