"""`cd`, `pwd`, `mkdir` and `rmdir`."""

from __future__ import annotations

from commander.errors import Conflict, InvalidInput
from commander.plugin.command import Arguments
from commander.plugin.context import Context
from commander.plugin.results import Document, Done, Plain, Result, Unchanged
from commander.vault.folders import descend
from commander.vault.opening import MAX_NAME
from commander.vault.replica import OpenFolder
from commander.vault.session import Vault
from commander.vault.state import join_path, split_path
from plugins.vault.opened import chosen_folder, current_folder, fresh_vault


async def change_folder(context: Context, arguments: Arguments) -> Result | None:
    """Go to a folder, or to the root."""
    vault = await fresh_vault(context)
    text = arguments.text_or_none("folder")
    folder = vault.view.root if text is None else chosen_folder(context, text)
    is_root = folder == vault.view.root
    context.location.folder = None if is_root else folder
    context.location.path = vault.view.path_of(folder)
    return None


async def show_folder(context: Context, arguments: Arguments) -> Result:
    """The path from the root."""
    vault = await fresh_vault(context)
    folder = current_folder(context) or vault.view.root
    path = "/" + join_path(vault.view.path_of(folder))
    return Document({"path": path, "uid": folder}, text=path)


async def make_folder(context: Context, arguments: Arguments) -> Result:
    """Make one folder; all but the last part of its path must exist."""
    vault = await fresh_vault(context)
    parent, name = _parent_and_name(context, vault, arguments.text("path"))
    is_shared = arguments.flag("shared_folder")
    if is_shared and parent != vault.view.root:
        raise Conflict(
            "shared folders stand at the top of the vault, they do not nest",
            hint=f"mkdir -sf {name!r}, or mkdir -uf for a folder within one",
        )
    same = [found for found in vault.view.subfolders(parent) if found.name == name]
    if same:
        return _existing(same[0], name, is_shared=is_shared, arguments=arguments)
    if is_shared:
        folder = await vault.create_shared_folder(name)
    else:
        folder = await vault.create_folder(name, parent)
    return Done(f"folder {name!r} made", _data(vault, folder))


def _parent_and_name(context: Context, vault: Vault, text: str) -> tuple[str, str]:
    parts = split_path(text)
    while len(parts) > 1 and not parts[-1]:
        parts.pop()
    name = parts[-1].strip()
    if not 0 < len(name) <= MAX_NAME or not name.isprintable() or name in (".", ".."):
        raise InvalidInput(f"a folder name has 1 to {MAX_NAME} printable characters")
    here = current_folder(context)
    if len(parts) == 1:
        return here or vault.view.root, name
    return vault.view.find_folder(join_path(parts[:-1]) or "/", base=here).uid, name


def _existing(folder: OpenFolder, name: str, *, is_shared: bool, arguments: Arguments) -> Result:
    if arguments.flag("if_missing") and folder.is_domain == is_shared:
        return Unchanged(f"folder {name!r} is there", {"uid": folder.uid, "name": name})
    kind = "shared folder" if folder.is_domain else "folder"
    raise Conflict(f"there is a {kind} {name!r} already", hint="choose another name")


def _data(vault: Vault, folder: OpenFolder) -> dict[str, Plain]:
    return {
        "uid": folder.uid,
        "name": folder.name,
        "path": join_path(vault.view.path_of(folder.uid)),
        "shared": folder.is_domain,
    }


async def remove_folder(context: Context, arguments: Arguments) -> Result:
    """Remove a folder with everything below it, after a question that says how much that is."""
    vault = await fresh_vault(context)
    folder = vault.view.folders[chosen_folder(context, arguments.text("folder"))]
    below = list(descend(vault.view, folder.uid))
    count = sum(len(vault.view.records_in(found.uid)) for found in below)
    await context.console.confirm(
        f"Remove {folder.name!r} with {len(below) - 1} folders and {count} records?",
        force=arguments.flag("force"),
    )
    await vault.delete_folder(folder.uid)
    return Done(f"folder {folder.name!r} removed", {"uid": folder.uid, "records": count})
