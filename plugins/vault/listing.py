"""`ls` and `tree`."""

from __future__ import annotations

from collections.abc import Iterator

from commander.plugin.command import Arguments
from commander.plugin.context import Context
from commander.plugin.results import Column, Document, Plain, Result, Table
from commander.vault.folders import descend
from commander.vault.replica import OpenFolder, OpenRecord
from commander.vault.session import Vault
from commander.vault.state import MAX_DEPTH, View, join_path
from plugins.vault.opened import chosen_folder, fresh_vault
from plugins.vault.summaries import describe

Row = dict[str, Plain]


async def list_folder(context: Context, arguments: Arguments) -> Result:
    """Folders first, then records, each by name."""
    vault = await fresh_vault(context)
    top = chosen_folder(context, arguments.text_or_none("folder"))
    tops = _below(vault.view, top) if arguments.flag("recursive") else [top]
    rows: list[Row] = []
    for folder in tops:
        if not arguments.flag("records"):
            rows += [_folder_row(vault, found) for found in vault.view.subfolders(folder)]
        if not arguments.flag("folders"):
            rows += [_record_row(vault.view, found) for found in vault.view.records_in(folder)]
    is_long = arguments.flag("long")
    columns = (
        Column("name"),
        Column("kind"),
        Column("type", detail=not is_long),
        Column("uid", detail=not is_long),
        Column("description", detail=not is_long),
        Column("path", detail=not arguments.flag("recursive")),
    )
    return Table(columns, rows, empty="nothing here")


def _below(view: View, top: str) -> list[str]:
    if top == view.root:
        return [top, *(f.uid for child in view.subfolders(top) for f in descend(view, child.uid))]
    return [folder.uid for folder in descend(view, top)]


def _folder_row(vault: Vault, folder: OpenFolder) -> Row:
    kind = "shared folder" if folder.is_domain else "folder"
    path = join_path(vault.view.path_of(folder.uid))
    return {"name": f"{folder.name}/", "kind": kind, "type": None, "uid": folder.uid,
            "description": None, "path": path}  # fmt: skip


def _record_row(view: View, record: OpenRecord) -> Row:
    return {
        "name": record.data.title,
        "kind": "record",
        "type": record.data.type,
        "uid": record.uid,
        "description": describe(record.data),
        "path": view.record_path(record),
    }


async def show_tree(context: Context, arguments: Arguments) -> Result:
    """Folders below one, as a drawing for people and nested for scripts."""
    vault = await fresh_vault(context)
    view = vault.view
    top = chosen_folder(context, arguments.text_or_none("folder"))
    name = context.config.vault_name if top == view.root else view.folders[top].name
    with_records = arguments.flag("records")
    lines = [name, *_draw(view, top, "", arguments.flag("verbose"), with_records, MAX_DEPTH)]
    values = _nest(view, top, name, with_records, MAX_DEPTH)
    return Document(values, text="\n".join(lines))


def _draw(
    view: View, folder: str, indent: str, verbose: bool, with_records: bool, depth: int
) -> Iterator[str]:
    children = view.subfolders(folder) if depth else []
    records = view.records_in(folder) if with_records else []
    last = len(children) + len(records) - 1
    for index, child in enumerate(children):
        mark = " [shared]" if child.is_domain else ""
        uid = f" ({child.uid})" if verbose else ""
        yield f"{indent}{_branch(index == last)}{child.name}{mark}{uid}"
        deeper = indent + ("    " if index == last else "|   ")
        yield from _draw(view, child.uid, deeper, verbose, with_records, depth - 1)
    for index, record in enumerate(records, start=len(children)):
        uid = f" ({record.uid})" if verbose else ""
        yield f"{indent}{_branch(index == last)}{record.data.title} [{record.data.type}]{uid}"


def _branch(is_last: bool) -> str:
    return "`-- " if is_last else "|-- "


def _nest(view: View, folder: str, name: str, with_records: bool, depth: int) -> Row:
    node: Row = {"name": name, "uid": folder}
    children = view.subfolders(folder) if depth else []
    node["folders"] = [_nest(view, c.uid, c.name, with_records, depth - 1) for c in children]
    if with_records:
        node["records"] = [
            {"title": r.data.title, "type": r.data.type, "uid": r.uid}
            for r in view.records_in(folder)
        ]
    return node
