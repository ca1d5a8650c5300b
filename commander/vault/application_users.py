"""
Applications shared with users, as parts of a draft.

Who has an application's key can open whatever the application can. So a user whom one is shared
with gets its folders to view as well, and nobody has in secret what the folders' lists do not show.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from commander.authority.decide import Action, Allow, decide
from commander.authority.statements import Access, Kind, Revoke, Right
from commander.crypto.box import BoxPublicKey
from commander.errors import NotFound
from commander.ids import FolderUid, UserUid
from commander.vault.draft import Draft

if TYPE_CHECKING:
    from commander.vault.session import Vault

VIEWER = (Right.VIEW,)
ADMIN = (Right.VIEW, Right.EDIT)


@dataclass(frozen=True)
class ApplicationUser:
    """Somebody who has an application's key."""

    user: UserUid
    email: str
    role: str  # "owner" | "admin" | "viewer"


def users_of(vault: Vault, uid: str) -> list[ApplicationUser]:
    """The owner first, then those it is shared with, by e-mail."""
    application = vault.state.applications.get(uid)
    owner = [application.owner] if application else []
    found = [ApplicationUser(user, vault.people.email_of(user), "owner") for user in owner]
    shared = [
        ApplicationUser(
            UserUid(access.principal),
            vault.people.email_of(access.principal),
            "admin" if Right.EDIT in access.rights else "viewer",
        )
        for access in vault.state.folder_members(uid)
    ]
    return found + sorted(shared, key=lambda user: user.email)


async def share(vault: Vault, uid: str, user: UserUid, *, is_admin: bool) -> bool:
    """Give a user an application's key, and its folders to view. False when it is so already."""

    def build(draft: Draft) -> bool:
        vault.require(Action.MANAGE_APPLICATION, uid)
        person = vault.state.users.get(user)
        if person is None:
            raise NotFound(f"no user {user}")
        rights = ADMIN if is_admin else VIEWER
        access = Access(FolderUid(uid), "user", user, rights, 0, 0)
        known = vault.state.accesses.get((uid, user))
        if known == access:
            return False
        draft.state(access)
        if known is None:
            draft.grant("application", uid, user, BoxPublicKey(person.box_key))
        for shared in vault.state.folders_of(uid):
            _open_for(vault, draft, shared.folder, user)
        return True

    return await vault.commit(build)


async def unshare(vault: Vault, uid: str, user: UserUid) -> bool:
    """
    Take an application from a user; what they were given of its folders stays.

    They keep the key they have seen: give the application new folders, or make it anew.
    """

    def build(draft: Draft) -> bool:
        if vault.state.accesses.get((uid, user)) is None:
            return False
        draft.state(Revoke(Kind.ACCESS, uid, user))
        return True

    return await vault.commit(build)


def open_folder(vault: Vault, draft: Draft, uid: str, folder: str) -> None:
    """Let all users of an application view a folder that it gets."""
    for access in vault.state.folder_members(uid):
        _open_for(vault, draft, folder, UserUid(access.principal))


def _open_for(vault: Vault, draft: Draft, folder: str, user: UserUid) -> None:
    if isinstance(decide(vault.state, user, Action.VIEW, folder, now=vault.now), Allow):
        return
    person = vault.state.users.get(user)
    if person is not None:
        draft.state(Access(FolderUid(folder), "user", user, VIEWER, 0, 0))
        draft.grant("folder", folder, user, BoxPublicKey(person.box_key))
