"""`share-folder`: members of a shared folder, and letting users and applications in or out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from commander.authority.decide import Action
from commander.authority.statements import Access, Kind, Revoke, Right
from commander.clock import iso_utc, parse_iso
from commander.crypto import aead
from commander.crypto.box import BoxPublicKey
from commander.errors import Conflict, InvalidInput, NotFound, UsageError
from commander.ids import FolderUid, UserUid
from commander.plugin.command import Arguments
from commander.plugin.context import Context
from commander.plugin.results import Column, Done, Plain, Result, Shape, Table, Unchanged
from commander.vault.draft import Draft
from commander.vault.replica import OpenFolder
from commander.vault.session import Vault
from commander.vault.sharing import Member
from commander.wire.calls import ApplicationFolderKey

_COLUMNS = (
    Column("name"),
    Column("kind"),
    Column("can_edit", "Edit"),
    Column("can_share", "Share"),
    Column("status"),
    Column("expires", shape=Shape.TIME),
    Column("begins", shape=Shape.TIME, detail=True),
    Column("uid", "UID", detail=True),
)


@dataclass(frozen=True)
class Principal:
    """Whom a folder is shared with."""

    kind: Literal["user", "application"]
    uid: str
    name: str


@dataclass(frozen=True)
class Grant:
    """How a folder is shared; `not_after` 0: without end."""

    rights: tuple[Right, ...]
    not_after: int


async def share_folder(context: Context, arguments: Arguments) -> Result:
    """List members, or change all the named ones in one transaction."""
    vault = context.vault
    await vault.refresh()
    folder = find_shared_folder(context, arguments.text("folder"))
    names = arguments.texts("email")
    if not names:
        _check_listing(arguments)
        rows = [_row(member, vault.now) for member in vault.sharing.members(folder.uid)]
        return Table(_COLUMNS, rows)
    found = [find_principal(vault, name) for name in names]
    principals = list({principal.uid: principal for principal in found}.values())
    if arguments.text_or_none("action") in ("remove", "revoke"):
        _check_removal(arguments)
        return await _remove(vault, folder, principals)
    grant = _grant_of(arguments, principals, vault.now)
    return await _grant(vault, folder, principals, grant)


def find_shared_folder(context: Context, text: str) -> OpenFolder:
    """A folder with members of its own. Raises NotFound, Conflict."""
    vault = context.vault
    folder = vault.find_folder(text, base=context.location.folder)
    if not folder.is_domain or folder.uid == vault.view.root:
        raise Conflict(
            f"folder {folder.name!r} is not a shared folder",
            hint="share the shared folder it is in, or make one: mkdir -sf NAME",
        )
    return folder


def find_principal(vault: Vault, text: str) -> Principal:
    """A user by e-mail or UID, or an application by name or UID. Raises NotFound, Conflict."""
    if "@" in text or vault.state.users.get(text) is not None:
        user = vault.people.find_user(text)
        return Principal("user", user.user, user.email)
    try:
        application = vault.applications.find(text)
    except NotFound:
        raise NotFound(
            f"no user or application {text[:80]!r}",
            hint="enterprise-info --users and secrets-manager app list show them",
        ) from None
    return Principal("application", application.uid, application.title)


def _check_listing(arguments: Arguments) -> None:
    keys = ("action", "can_edit", "can_share", "expire_in", "expire_at")
    if any(arguments.was_given(key) for key in keys):
        raise UsageError("whom to share with?", hint="name a user or application with -e")


def _check_removal(arguments: Arguments) -> None:
    keys = ("can_edit", "can_share", "expire_in", "expire_at")
    if any(arguments.was_given(key) for key in keys):
        raise UsageError("a removal takes no rights and no end", hint="leave them out")


def _grant_of(arguments: Arguments, principals: list[Principal], now: float) -> Grant:
    rights = [Right.VIEW]
    if arguments.flag("can_edit"):
        rights.append(Right.EDIT)
    if arguments.flag("can_share"):
        machine = next((p for p in principals if p.kind == "application"), None)
        if machine is not None:
            raise UsageError(f"application {machine.name!r} cannot share", hint="leave -s out")
        rights.append(Right.SHARE)
    return Grant(tuple(rights), _end(arguments, now))


def _end(arguments: Arguments, now: float) -> int:
    at = arguments.text_or_none("expire_at")
    seconds = arguments.integer_or_none("expire_in")
    if at is None and seconds is None:
        return 0
    end = int(parse_iso(at)) if at is not None else int(now) + (seconds or 0)
    if end <= now:
        raise InvalidInput(
            f"the share would end at {iso_utc(end)}, which is not in the future",
            hint="write a later time, such as --expire-in 8h",
        )
    return end


async def _grant(
    vault: Vault, folder: OpenFolder, principals: list[Principal], grant: Grant
) -> Done | Unchanged:
    owner = vault.state.folders.get(folder.uid)
    for principal in principals:
        if owner is not None and principal.uid == owner.owner:
            raise Conflict(f"{principal.name} owns folder {folder.name!r} and has every right")

    def build(draft: Draft) -> list[Principal]:
        vault.require(Action.SHARE, folder.uid)
        return [p for p in principals if _add(vault, draft, folder.uid, p, grant)]

    changed = await vault.commit(build)
    data = _data(folder, changed) | {
        "rights": [right.value for right in grant.rights],
        "expires": iso_utc(grant.not_after) if grant.not_after else None,
    }
    if not changed:
        return Unchanged(f"Folder {folder.name!r} is shared so already.", data)
    until = f" until {iso_utc(grant.not_after)}" if grant.not_after else ""
    return Done(f"Folder {folder.name!r} is shared with {_names(changed)}{until}.", data)


def _add(vault: Vault, draft: Draft, domain: FolderUid, principal: Principal, grant: Grant) -> bool:
    """Add the statement and the key that goes with it; False when it holds already."""
    access = Access(domain, principal.kind, principal.uid, grant.rights, 0, grant.not_after)
    if vault.state.accesses.get((domain, principal.uid)) == access:
        return False
    if principal.kind == "user":
        user = vault.people.find_user(principal.uid)
        draft.state(access)
        draft.grant("folder", domain, UserUid(user.user), BoxPublicKey(user.box_key))
        return True
    vault.require(Action.MANAGE_APPLICATION, principal.uid)
    draft.state(access)
    key = aead.seal(draft.key_of("application", principal.uid), draft.key_of("folder", domain))
    draft.folder_keys.append(ApplicationFolderKey(principal.uid, domain, 1, key))
    return True


async def _remove(
    vault: Vault, folder: OpenFolder, principals: list[Principal]
) -> Done | Unchanged:
    def build(draft: Draft) -> list[Principal]:
        held = [p for p in principals if vault.state.accesses.get((folder.uid, p.uid)) is not None]
        for principal in held:
            draft.state(Revoke(Kind.ACCESS, folder.uid, principal.uid))
        return held

    changed = await vault.commit(build)
    data = _data(folder, changed)
    if not changed:
        names = _names(principals)
        return Unchanged(f"Folder {folder.name!r} is not shared with {names}.", data)
    return Done(f"Folder {folder.name!r} is no more shared with {_names(changed)}.", data)


def _data(folder: OpenFolder, changed: list[Principal]) -> dict[str, Plain]:
    return {
        "folder_uid": folder.uid,
        "folder": folder.name,
        "changed": [principal.uid for principal in changed],
    }


def _names(principals: list[Principal]) -> str:
    return ", ".join(principal.name for principal in principals)


def _row(member: Member, now: float) -> dict[str, Plain]:
    if member.not_before > now:
        status = "later"
    else:
        status = "ended" if 0 < member.not_after <= now else "active"
    return {
        "name": member.name,
        "kind": member.kind,
        "can_edit": Right.EDIT in member.rights,
        "can_share": Right.SHARE in member.rights,
        "status": status,
        "expires": member.not_after or None,
        "begins": member.not_before or None,
        "uid": member.uid,
    }
