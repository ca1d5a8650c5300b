"""`record-add` and `record-update`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from commander.errors import CommanderError, Conflict, InvalidInput, NotFound, UsageError
from commander.files import read_private
from commander.plugin import attachments as transfer
from commander.plugin.attachments import LocalFile
from commander.plugin.command import Arguments
from commander.plugin.context import Context
from commander.plugin.results import Done, Plain, Result, Unchanged
from commander.vault import attachments
from commander.vault.record_types import (
    MAX_TEXT,
    Assignment,
    RecordType,
    assign,
    check_title,
    find_type,
    parse_assignment,
    read_value,
    resolve,
)
from commander.vault.replica import OpenRecord
from commander.vault.session import Vault
from commander.wire.records import RecordData
from plugins.vault.opened import chosen_folder, current_folder, fresh_vault

MAX_NOTES = 64 * 1024
_FILE = "file"
_NO_TYPE = RecordType("record", "", ())


async def add(context: Context, arguments: Arguments) -> Result:
    """Make a record; with --if-missing the same one again is no change."""
    vault = await fresh_vault(context)
    kind = find_type(arguments.text("record_type"))
    title = check_title(arguments.text("title"))
    files = read_files(arguments)
    fields = await read_fields(context, arguments, kind)
    folder = chosen_folder(context, arguments.text_or_none("folder"))
    notes = _notes(arguments)
    if arguments.flag("if_missing"):
        same = [r for r in vault.view.records_in(folder) if r.data.title == title]
        if same:
            missing = await _missing_files(vault, same[0], files)
            return _compare(context, same, kind, fields, notes, missing)
    data = RecordData.create(kind.name, title)
    for given, value in fields:
        assign(data, given, value)
    if notes:
        data.content["notes"] = notes
    record = await vault.create_record(data, folder)
    context.variables.set("last_record_uid", record.uid)
    if files:
        await transfer.attach(context, record.uid, files)
    return Done(f"record {title!r} made", _values(vault, vault.get_record(record.uid)))


async def _missing_files(vault: Vault, record: OpenRecord, files: Sequence[LocalFile]) -> bool:
    """Whether a record lacks one of the files, by name and size."""
    if not files:
        return False
    there = {(one.name, one.size) for one in await attachments.list_of(vault, record)}
    return any((file.new.name, file.new.size) not in there for file in files)


def read_files(arguments: Arguments) -> list[LocalFile]:
    """The files to attach (`file=@PATH`), looked at before anything is changed. Raises UsageError."""
    found = []
    for text in arguments.texts("field"):
        given = parse_assignment(text)
        if given.type != _FILE:
            continue
        if not given.value.startswith("@") or given.label:
            raise UsageError(
                f"{text[:60]!r} names no file",
                hint="file=@PATH attaches one, --remove-file NAME takes one away",
            )
        found.append(transfer.read_local(Path(given.value[1:]).expanduser()))
    return found


def _notes(arguments: Arguments) -> str | None:
    notes = arguments.text_or_none("notes")
    if notes is not None and len(notes) > MAX_NOTES:
        raise InvalidInput(f"notes have at most {MAX_NOTES} characters")
    return notes


def _values(vault: Vault, record: OpenRecord) -> dict[str, Plain]:
    return {
        "record_uid": record.uid,
        "title": record.data.title,
        "type": record.data.type,
        "path": vault.view.record_path(record),
        "revision": record.revision,
    }


def _compare(
    context: Context,
    same: list[OpenRecord],
    kind: RecordType,
    fields: list[tuple[Assignment, Any]],
    notes: str | None,
    lacks_files: bool,
) -> Result:
    if len(same) > 1:
        raise Conflict(f"there are {len(same)} records {same[0].data.title!r} in that folder")
    record = same[0]
    differing = _differences(record.data, kind, fields, notes) + ["file"] * lacks_files
    if differing:
        raise Conflict(
            f"record {record.data.title!r} is there but differs in {', '.join(differing)}",
            hint="record-update changes it",
        )
    context.variables.set("last_record_uid", record.uid)
    data: dict[str, Plain] = {"record_uid": record.uid, "title": record.data.title}
    return Unchanged(f"record {record.data.title!r} is there", data)


def _differences(
    data: RecordData, kind: RecordType, fields: list[tuple[Assignment, Any]], notes: str | None
) -> list[str]:
    found = [] if data.type == kind.name else ["type"]
    if notes is not None and notes != data.notes:
        found.append("notes")
    for given, value in fields:
        current = data.first(given.type, given.label)
        is_generated = given.value.startswith("$GEN")
        # A generated value differs every time; that there is one is what was asked for.
        if current is None if is_generated else current != value:
            found.append(f"{given.type}.{given.label}" if given.label else given.type)
    return found


async def update(context: Context, arguments: Arguments) -> Result:
    """Change fields, title or notes of a record."""
    vault = await fresh_vault(context)
    record = vault.find_record(arguments.text("record"), base=current_folder(context))
    try:
        kind = find_type(record.data.type)
    except InvalidInput:
        # A type of a newer program: its fields are taken as they are named.
        kind = _NO_TYPE
    files = read_files(arguments)
    fields = await read_fields(context, arguments, kind)
    title, notes = arguments.text_or_none("title"), _notes(arguments)
    removed = await _removed_files(vault, record, arguments)
    if not (fields or files or removed) and title is None and notes is None:
        raise UsageError(
            "nothing to change was given", hint="for example: record-update -r X login=app"
        )
    new_title = check_title(title) if title is not None else None

    def change(data: RecordData) -> None:
        if new_title is not None:
            data.content["title"] = new_title
        if notes is not None:
            data.content["notes"] = notes
        for given, value in fields:
            assign(data, given, value)

    revision = arguments.integer_or_none("revision") or 0
    changed = await vault.update_record(record.uid, change, revision=revision)
    if removed:
        await attachments.remove(vault, record.uid, removed)
    if files:
        await transfer.attach(context, record.uid, files)
    changed = changed or bool(files or removed)
    newest = vault.get_record(record.uid)
    context.variables.set("last_record_uid", record.uid)
    if not changed:
        return Unchanged(f"record {newest.data.title!r} is so already", _values(vault, newest))
    return Done(f"record {newest.data.title!r} changed", _values(vault, newest))


async def _removed_files(vault: Vault, record: OpenRecord, arguments: Arguments) -> list[str]:
    """UIDs of the files to take away; a UID that the record names needs no word of the server."""
    wanted = arguments.texts("remove_file")
    if set(wanted) <= set(attachments.references(record.data)):
        return list(wanted)
    found = await attachments.list_of(vault, record)
    return [attachments.choose(found, text).uid for text in wanted]


async def read_fields(
    context: Context, arguments: Arguments, kind: RecordType
) -> list[tuple[Assignment, Any]]:
    """All fields given: on the line, from files, from standard input."""
    force = arguments.flag("force")
    on_line = [parse_assignment(text) for text in arguments.texts("field")]
    on_line = [given for given in on_line if given.type != _FILE]
    if any(given.is_secret for given in on_line):
        context.console.notice(
            "a secret on a command line can be seen by other users of this machine; "
            "--field-file, --field-stdin or $GEN keep it from them"
        )
    found = [
        (given, read_value(given)) for given in (resolve(kind, g, force=force) for g in on_line)
    ]
    for text in arguments.texts("field_file"):
        name, equals, path = text.rpartition("=")
        if not equals:
            raise UsageError(f"--field-file {text[:60]!r} is not TYPE=PATH")
        found.append(_secret(kind, name, _read_file(Path(path)), force=force))
    name_from_stdin = arguments.text_or_none("field_stdin")
    if name_from_stdin is not None:
        data = await context.console.read_stdin(limit=MAX_TEXT)
        found.append(_secret(kind, name_from_stdin, data, force=force))
    return found


def _secret(
    kind: RecordType, name: str, data: bytes, *, force: bool
) -> tuple[Assignment, str | None]:
    try:
        text = data.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise InvalidInput(f"the value of {name[:60]} is not UTF-8 text") from None
    given = resolve(kind, parse_assignment(f"{name}="), force=force)
    # Taken as it is: what a file holds is never a recipe.
    return given, text or None


def _read_file(path: Path) -> bytes:
    try:
        return read_private(path, limit=MAX_TEXT)
    except FileNotFoundError:
        raise NotFound(f"there is no file {str(path)!r}") from None
    except OSError as error:
        raise CommanderError(f"{path} cannot be read: {error.strerror}") from error
