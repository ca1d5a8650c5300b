"""`get`, `record-history` and `record-types`."""

from __future__ import annotations

import json
from typing import Any

from commander.clock import iso_utc
from commander.errors import CommanderError, Conflict, NotFound
from commander.plugin.command import Arguments
from commander.plugin.context import Context
from commander.plugin.results import Column, Document, Plain, Result, Shape, Table, Text
from commander.vault import attachments
from commander.vault.record_types import RECORD_TYPES, find_type, masked
from commander.vault.replica import OpenFolder, OpenRecord
from commander.vault.session import Vault
from commander.vault.state import join_path
from commander.wire.records import Field, RecordData
from plugins.vault.authors import author_names
from plugins.vault.opened import current_folder, fresh_vault


async def get(context: Context, arguments: Arguments) -> Result:
    """A record in the form asked for, or a folder."""
    vault = await fresh_vault(context)
    here = current_folder(context)
    name = arguments.text("name")
    try:
        record = vault.find_record(name, base=here)
    except NotFound as error:
        return _folder(vault, name, here, error)
    authors = await author_names(vault, [record])
    files = await _files(context, vault, record)
    return show_record(
        vault,
        record,
        form=arguments.text("format"),
        unmask=arguments.flag("unmask"),
        author=authors[record.author],
        files=files,
    )


async def _files(context: Context, vault: Vault, record: OpenRecord) -> list[Plain]:
    try:
        found = await attachments.list_of(vault, record)
    except CommanderError as error:
        # The record itself is here and verified; what is missing is said.
        context.console.notice(f"attachments cannot be listed: {error.message}")
        return []
    return [{"uid": one.uid, "name": one.name, "size": one.size} for one in found]


def _folder(vault: Vault, name: str, here: str, error: NotFound) -> Result:
    try:
        folder: OpenFolder = vault.find_folder(name, base=here)
    except NotFound:
        raise error from None
    members: list[Plain] = []
    if folder.is_domain and folder.uid != vault.view.root:
        members = [
            {"kind": m.kind, "name": m.name, "uid": m.uid, "rights": list(m.rights)}
            for m in vault.sharing.members(folder.uid)
        ]
    return Document(
        {
            "uid": folder.uid,
            "name": folder.name,
            "path": join_path(vault.view.path_of(folder.uid)),
            "shared": folder.is_domain,
            "records": len(vault.view.records_in(folder.uid)),
            "members": members,
        }
    )


def show_record(
    vault: Vault,
    record: OpenRecord,
    *,
    form: str,
    unmask: bool,
    author: str,
    files: list[Plain],
) -> Result:
    """A record as detail, json, fields or password; secrets are masked unless asked for."""
    data = record.data
    if form == "password":
        # Whoever asks for the password alone has asked for it in clear.
        password = data.first("password")
        if not isinstance(password, str):
            raise NotFound(f"record {data.title!r} has no password")
        return Text(password)
    if form == "json":
        content = _content(data, unmask=unmask)
        more = {"attachments": files} if files else {}
        about: dict[str, Plain] = {
            "record_uid": record.uid,
            "revision": record.revision,
            "modified": iso_utc(record.time),
            "author": author,
        }
        return Document({**about, **content, **more})
    if form == "fields":
        return Text("\n".join(field_lines(data, unmask=unmask)))
    return _detail(vault, record, unmask=unmask, author=author, files=files)


def _content(data: RecordData, *, unmask: bool) -> dict[str, Any]:
    if unmask:
        return data.content
    content: dict[str, Any] = dict(data.content)
    for section in ("fields", "custom"):
        content[section] = [
            {**field, "value": masked(field)} for field in data.content.get(section, [])
        ]
    return content


def field_lines(data: RecordData, *, unmask: bool) -> list[str]:
    """TYPE=VALUE lines, as `record-add` reads them."""
    lines = []
    for section, mark in (("fields", ""), ("custom", "c.")):
        for field in data.content.get(section, []):
            label = f".{field['label']}" if field.get("label") else ""
            for value in _values(field, unmask=unmask):
                text = value if isinstance(value, str) else f"$JSON:{json.dumps(value)}"
                lines.append(f"{mark}{field['type']}{label}={text}")
    return lines


def _values(field: Field, *, unmask: bool) -> list[Any]:
    if not unmask:
        return masked(field)
    values = field.get("value")
    return values if isinstance(values, list) else []


def _detail(
    vault: Vault, record: OpenRecord, *, unmask: bool, author: str, files: list[Plain]
) -> Document:
    data = record.data
    values: dict[str, Plain] = {
        "uid": record.uid,
        "title": data.title,
        "type": data.type,
        "path": vault.view.record_path(record),
        "revision": record.revision,
        "modified": record.time,
        "author": author,
    }
    for field in data.fields():
        if field["type"] == attachments.FIELD:
            continue
        shown = [_plain(value) for value in _values(field, unmask=unmask)]
        if shown:
            name = str(field.get("label") or field["type"])
            key = name if name not in values else f"{field['type']}.{name}"
            values[key] = shown[0] if len(shown) == 1 else shown
    if data.notes:
        values["notes"] = data.notes
    if files:
        values["attachments"] = [
            f"{one['name']} ({one['size']} bytes)" for one in files if isinstance(one, dict)
        ]
    return Document(values, shapes={"modified": Shape.TIME})


def _plain(value: Any) -> Plain:
    if isinstance(value, dict) and set(value) == {"hostName", "port"}:
        return f"{value['hostName']}:{value['port']}" if value["port"] else str(value["hostName"])
    plain: Plain = value
    return plain


async def show_history(context: Context, arguments: Arguments) -> Result:
    """Revisions oldest first, or one of them."""
    vault = await fresh_vault(context)
    record = vault.find_record(arguments.text("record"), base=current_folder(context))
    revisions = await vault.history(record.uid)
    wanted = arguments.integer_or_none("revision")
    authors = await author_names(vault, revisions)
    if wanted is None:
        columns = (
            Column("revision"),
            Column("modified", shape=Shape.TIME),
            Column("title"),
            Column("author"),
        )
        rows: list[dict[str, Plain]] = [
            {
                "revision": found.revision,
                "modified": found.time,
                "title": found.data.title,
                "author": authors[found.author],
            }
            for found in revisions
        ]
        return Table(columns, rows)
    for found in revisions:
        if found.revision == wanted:
            author = authors[found.author]
            content = _content(found.data, unmask=False)
            return Document({"revision": wanted, "author": author, **content})
    raise Conflict(f"record {record.data.title!r} has no revision {wanted}")


async def show_types(context: Context, arguments: Arguments) -> Result:
    """All types, or the fields of one."""
    name = arguments.text_or_none("type")
    if name is None:
        return Table(
            (Column("type"), Column("summary"), Column("fields")),
            [
                {
                    "type": kind.name,
                    "summary": kind.summary,
                    "fields": ", ".join(spec.name for spec in kind.fields),
                }
                for kind in RECORD_TYPES.values()
            ],
        )
    rows: list[dict[str, Plain]] = [
        {"field": spec.name, "type": spec.type, "label": spec.label, "secret": spec.is_secret}
        for spec in find_type(name).fields
    ]
    return Table((Column("field"), Column("type"), Column("label"), Column("secret")), rows)
