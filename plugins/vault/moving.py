"""`mv` and `rm`."""

from __future__ import annotations

from commander.errors import Conflict, NotFound, UsageError
from commander.ids import FolderUid
from commander.plugin.command import Arguments
from commander.plugin.context import Context
from commander.plugin.results import Done, Result
from commander.vault.record_types import check_title
from commander.vault.replica import OpenFolder, OpenRecord
from commander.vault.session import Vault
from plugins.vault.opened import current_folder, fresh_vault


async def move(context: Context, arguments: Arguments) -> Result:
    """Into a folder that exists; else one source gets the target as its new name."""
    vault = await fresh_vault(context)
    here = current_folder(context)
    sources = [_find(vault, text, here) for text in arguments.texts("source")]
    target = _target(vault, arguments.text("target"), here)
    if target is None:
        return await _rename(vault, sources, arguments.text("target"))
    for source in sources:
        if isinstance(source, OpenFolder):
            await vault.move_folder(source.uid, target)
        else:
            await vault.move_record(source.uid, target)
    name = vault.view.folders[target].name
    return Done(f"{len(sources)} moved to {name!r}", {"count": len(sources), "folder_uid": target})


def _find(vault: Vault, text: str, here: str) -> OpenRecord | OpenFolder:
    """A record of that name, else a folder; a name that is both is ambiguous."""
    record: OpenRecord | None = None
    folder: OpenFolder | None = None
    try:
        record = vault.find_record(text, base=here)
    except NotFound:
        record = None
    try:
        folder = vault.find_folder(text, base=here)
    except NotFound:
        folder = None
    if record is not None and folder is not None:
        raise Conflict(f"{text[:80]!r} is a record and a folder", hint="use the UID")
    found = record or folder
    if found is None:
        raise NotFound(f"no record or folder {text[:80]!r}", hint="ls shows what is here")
    return found


def _target(vault: Vault, text: str, here: str) -> FolderUid | None:
    try:
        return vault.find_folder(text, base=here).uid
    except NotFound:
        if "/" in text.replace("//", ""):
            raise
        return None


async def _rename(vault: Vault, sources: list[OpenRecord | OpenFolder], name: str) -> Result:
    if len(sources) != 1:
        raise UsageError(f"there is no folder {name[:80]!r}", hint="mkdir makes one")
    source = sources[0]
    if isinstance(source, OpenFolder):
        await vault.rename_folder(source.uid, name.strip())
    else:
        title = check_title(name)
        await vault.update_record(source.uid, lambda data: data.content.update(title=title))
    return Done(f"renamed to {name.strip()!r}", {"uid": source.uid, "name": name.strip()})


async def remove(context: Context, arguments: Arguments) -> Result:
    """Remove records, after a question that names them."""
    vault = await fresh_vault(context)
    here = current_folder(context)
    records = [vault.find_record(text, base=here) for text in arguments.texts("record")]
    titles = ", ".join(repr(record.data.title) for record in records[:5])
    more = f" and {len(records) - 5} more" if len(records) > 5 else ""
    await context.console.confirm(f"Remove {titles}{more}?", force=arguments.flag("force"))
    for record in records:
        await vault.delete_record(record.uid)
    return Done(f"{len(records)} removed", {"uids": [record.uid for record in records]})
