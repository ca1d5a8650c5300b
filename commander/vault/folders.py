"""What is done to folders, as parts of a draft."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from commander.authority.decide import Action
from commander.authority.statements import Folder, Kind, Revoke
from commander.errors import Conflict, NotFound
from commander.ids import FolderUid
from commander.vault.draft import Draft
from commander.vault.replica import OpenFolder
from commander.vault.state import MAX_DEPTH, View

Require = Callable[[Action, str], None]


def add_domain(draft: Draft, uid: FolderUid, name: str, *, personal: bool) -> None:
    """Make a domain folder: statement, key, name."""
    draft.state(Folder(uid, draft.author.user, personal))
    draft.add_key("folder", uid)
    draft.put_folder(uid, uid, name, "")


def _get(view: View, uid: str) -> OpenFolder:
    folder = view.folders.get(uid)
    if folder is None:
        raise NotFound(f"no folder {uid}")
    return folder


def rename(view: View, draft: Draft, uid: str, name: str, require: Require) -> None:
    """Write another name."""
    folder = _get(view, uid)
    require(Action.EDIT, folder.domain)
    if folder.name != name:
        draft.put_folder(folder.uid, folder.domain, name, folder.parent)


def move(view: View, draft: Draft, uid: str, parent: str, require: Require) -> None:
    """Write another parent. Raises Conflict for another domain or a place within itself."""
    folder = _get(view, uid)
    place = view.place_of(_get(view, parent).uid)
    if folder.is_domain or place.domain != folder.domain:
        raise Conflict(
            f"folder {folder.name!r} can only move within its shared folder",
            hint="move its records instead: their keys are wrapped for the other folder",
        )
    within = {found.uid for found in descend(view, folder.uid)}
    if place.inner in within:
        raise Conflict(f"folder {folder.name!r} cannot move into itself")
    require(Action.EDIT, folder.domain)
    if folder.parent != place.inner:
        draft.put_folder(folder.uid, folder.domain, folder.name, place.inner)


def descend(view: View, uid: str) -> Iterator[OpenFolder]:
    """A folder and all folders below it, the deepest last."""
    level = [_get(view, uid)]
    for _ in range(MAX_DEPTH):
        if not level:
            return
        yield from level
        level = [
            child
            for folder in level
            for child in view.subfolders(folder.uid)
            if not child.is_domain
        ]


def delete(view: View, draft: Draft, uid: str, require: Require) -> None:
    """End a folder, the folders below and all their records."""
    top = _get(view, uid)
    if top.uid == view.root:
        raise Conflict("the personal root cannot be removed")
    require(Action.EDIT, top.domain)
    if top.is_domain:
        # The end of a domain ends every right to what is in it.
        draft.state(Revoke(Kind.FOLDER, top.uid, ""))
        return
    for folder in reversed(list(descend(view, uid))):
        for record in view.records_in(folder.uid):
            draft.delete_record(record.uid)
        draft.put_folder(folder.uid, folder.domain, folder.name, folder.parent, deleted=True)
