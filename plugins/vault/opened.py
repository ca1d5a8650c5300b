from __future__ import annotations

from commander.ids import FolderUid
from commander.plugin.context import Context
from commander.vault.session import Vault


class _Told:
    """Which problems the user of this process has heard of."""

    def __init__(self) -> None:
        self.problems: set[str] = set()


async def fresh_vault(context: Context) -> Vault:
    """
    The vault, up to date; a session that lasts would else show what was long ago.

    What the server gave that does not verify is said aloud, once each.
    """
    vault = context.vault
    await vault.refresh()
    told = context.shared(_Told, _Told).problems
    for problem in map(str, vault.problems):
        if problem not in told:
            told.add(problem)
            context.console.notice(f"does not verify, the older version is shown: {problem}")
    return vault


def current_folder(context: Context) -> str:
    """UID of the folder that `cd` has led to, or "" for the root."""
    folder = context.location.folder
    if folder is not None and folder not in context.vault.view.folders:
        # It was removed, or its share ended, while somebody stood in it.
        context.location.folder, context.location.path = None, ()
        folder = None
    return folder or ""


def chosen_folder(context: Context, text: str | None) -> FolderUid:
    """The folder a user named, else the current one, else the root."""
    view = context.vault.view
    here = current_folder(context)
    if text is not None:
        return view.find_folder(text, base=here).uid
    return FolderUid(here or view.root)
