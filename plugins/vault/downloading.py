"""`download-attachment`."""

from __future__ import annotations

from pathlib import Path

from commander.errors import Conflict, NotFound
from commander.plugin import attachments as transfer
from commander.plugin.command import Arguments
from commander.plugin.context import Context
from commander.plugin.results import Done, Plain, Result
from commander.vault import attachments
from commander.vault.attachments import Attachment
from plugins.vault.opened import current_folder, fresh_vault

MAX_TO_STDOUT = 64 * 1024 * 1024


async def download(context: Context, arguments: Arguments) -> Result | None:
    """One attachment, or all of a record, into new files of mode 0600."""
    vault = await fresh_vault(context)
    record = vault.find_record(arguments.text("record"), base=current_folder(context))
    found = await attachments.list_of(vault, record)
    wanted = arguments.texts("file")
    chosen = [attachments.choose(found, text) for text in wanted] if wanted else found
    if not chosen:
        raise NotFound(f"record {record.data.title!r} has no attachments")
    output = arguments.text_or_none("output")
    if output == "-":
        if len(chosen) > 1:
            raise Conflict(
                f"record {record.data.title!r} has {len(chosen)} attachments",
                hint="--file NAME chooses one",
            )
        # Nothing is shown before all of it has verified.
        data = await transfer.read_whole(context, chosen[0], limit=MAX_TO_STDOUT)
        context.console.emit_data(data)
        return None
    targets = targets_of(chosen, Path(output) if output else Path())
    for attachment, target in targets:
        context.console.progress(f"{target}: {attachment.size} bytes")
        await transfer.save(context, attachment, target)
    files: list[Plain] = [
        {"name": attachment.name, "file": str(target), "size": attachment.size}
        for attachment, target in targets
    ]
    names = ", ".join(str(target) for _, target in targets)
    return Done(f"{names} written", {"record_uid": record.uid, "files": files})


def targets_of(chosen: list[Attachment], output: Path) -> list[tuple[Attachment, Path]]:
    """Where each goes: into a directory by its safe name, or one to the path that was given."""
    if len(chosen) == 1 and not output.is_dir():
        return [(chosen[0], output)]
    if not output.is_dir():
        raise NotFound(
            f"there is no directory {str(output)!r}", hint="-o names one for several files"
        )
    targets = [(one, output / attachments.safe_name(one)) for one in chosen]
    names = [target.name for _, target in targets]
    if len(set(names)) != len(names):
        raise Conflict("several attachments have one name", hint="--file UID chooses one")
    return targets
