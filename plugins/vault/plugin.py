from __future__ import annotations

from collections.abc import Mapping

from commander.plugin.command import (
    ArgumentKind,
    Command,
    Group,
    flag,
    option,
    positional,
)
from commander.plugin.hookspecs import CompletionSource, hookimpl

_MODULE = "plugins.vault"
_RECORD = positional("record", kind=ArgumentKind.RECORD, help="UID, title or path")
_FIELDS_HELP = (
    "A field is [f.|c.]TYPE[.LABEL]=VALUE: f. is a standard field, c. a custom one. Values may be\n"
    "$GEN:rand,20 (a random password) or $JSON:{...}; an empty value removes. Secrets do not\n"
    "belong on a command line: --field-file TYPE=PATH reads one from a private file,\n"
    "--field-stdin TYPE from standard input. file=@PATH attaches a file."
)


@hookimpl
def commander_commands() -> list[Command | Group]:
    """Records and folders."""
    return [*_folder_commands(), *_reading_commands(), *_record_commands()]


@hookimpl
def commander_completions() -> Mapping[ArgumentKind, CompletionSource | str]:
    """Names out of the vault in memory."""
    names = ("RECORD", "FOLDER", "APPLICATION", "USER", "ROLE", "RECORD_TYPE")
    return {ArgumentKind[name]: f"{_MODULE}.completion:{name.lower()}_candidates" for name in names}


def _folder_commands() -> list[Command | Group]:
    return [
        Command(
            path="ls",
            aliases=("l",),
            summary="list folders and records",
            example="ls -l Infrastructure",
            arguments=(
                positional("folder", kind=ArgumentKind.FOLDER, required=False, help="folder (default: the current one)"),
                flag("-l", "--long", help="also type, UID and description"),
                flag("-f", "--folders", help="folders only"),
                flag("-r", "--records", help="records only"),
                flag("-R", "--recursive", help="also what is in the folders below"),
            ),
            exclusive=(("folders", "records"),),
            listing=True,
            handler=f"{_MODULE}.listing:list_folder",
        ),
        Command(
            path="tree",
            summary="show folders as a tree",
            example="tree -r",
            arguments=(
                positional("folder", kind=ArgumentKind.FOLDER, required=False, help="top of the tree (default: the current folder)"),
                flag("-r", "--records", help="also records"),
                flag("-v", "--verbose", help="also UIDs"),
            ),
            handler=f"{_MODULE}.listing:show_tree",
        ),
        Command(
            path="cd",
            summary="change the current folder",
            example="cd Infrastructure",
            arguments=(positional("folder", kind=ArgumentKind.FOLDER, required=False, help="folder (default: the root)"),),
            handler=f"{_MODULE}.folders:change_folder",
        ),
        Command(
            path="pwd",
            summary="show the current folder",
            example="pwd",
            handler=f"{_MODULE}.folders:show_folder",
        ),
        Command(
            path="mkdir",
            summary="make a folder",
            example="mkdir -sf Infrastructure",
            arguments=(
                positional("path", help="name, or path of an existing folder and a name"),
                flag("-uf", "--user-folder", help="a folder within another one"),
                flag("-sf", "--shared-folder", help="a shared folder, at the top"),
                flag("-a", "--all", help="accepted for scripts; members get rights by share-folder"),
                flag("--if-missing", help="do nothing when it exists"),
            ),
            exclusive=(("user_folder", "shared_folder"),),
            handler=f"{_MODULE}.folders:make_folder",
        ),
        Command(
            path="rmdir",
            summary="remove a folder and all that is in it",
            example="rmdir Infrastructure/Old -f",
            arguments=(positional("folder", kind=ArgumentKind.FOLDER, help="the folder"),),
            destructive=True,
            handler=f"{_MODULE}.folders:remove_folder",
        ),
        Command(
            path="mv",
            summary="move or rename records and folders",
            example='mv "Orders DB" Infrastructure',
            arguments=(
                positional("source", repeat=True, help="records or folders: UID, name or path"),
                positional("target", help="a folder, or a new name for one source"),
            ),
            handler=f"{_MODULE}.moving:move",
        ),
        Command(
            path="rm",
            summary="remove records",
            example='rm "Orders DB" -f',
            arguments=(positional("record", kind=ArgumentKind.RECORD, repeat=True, help="UID, title or path"),),
            destructive=True,
            handler=f"{_MODULE}.moving:remove",
        ),
    ]  # fmt: skip


def _reading_commands() -> list[Command | Group]:
    return [
        Command(
            path="get",
            aliases=("g",),
            summary="show a record or folder, secrets masked",
            example='get "Orders DB" --unmask',
            arguments=(
                positional("name", kind=ArgumentKind.RECORD, help="UID, title or path"),
                option(
                    "--format",
                    choices=("detail", "json", "fields", "password"),
                    default="detail",
                    help="detail, json (the whole record), fields (TYPE=VALUE lines) or the password alone",
                ),
                flag("--unmask", help="show secrets"),
            ),
            handler=f"{_MODULE}.showing:get",
        ),
        Command(
            path="download-attachment",
            aliases=("da",),
            summary="write attachments of a record to files",
            example='download-attachment "Orders DB" --file client.pem -o client.pem',
            arguments=(
                _RECORD,
                option("--file", repeat=True, help="name or UID of one (default: all)"),
                option("--output", "-o", kind=ArgumentKind.PATH, help="a new file, a directory (default: this one), or - for standard output"),
            ),
            handler=f"{_MODULE}.downloading:download",
        ),
        Command(
            path="search",
            aliases=("s",),
            summary="find records by words or a regular expression",
            example="search orders",
            arguments=(
                positional("pattern", required=False, help="words that title, type, login, host or URL hold"),
                flag("--regex", help="the pattern is a regular expression"),
                option("--type", "-t", kind=ArgumentKind.RECORD_TYPE, help="records of this type only"),
            ),
            listing=True,
            handler=f"{_MODULE}.searching:search",
        ),
        Command(
            path="list",
            summary="list all records",
            example="list --type pamDatabase",
            arguments=(
                positional("pattern", required=False, help="words to find"),
                option("--type", "-t", kind=ArgumentKind.RECORD_TYPE, help="records of this type only"),
            ),
            listing=True,
            handler=f"{_MODULE}.searching:list_records",
        ),
        Command(
            path="record-history",
            aliases=("rh",),
            summary="show the revisions of a record",
            example='record-history "Orders DB"',
            arguments=(_RECORD, option("--revision", kind=ArgumentKind.INT, help="show what this revision held, masked")),
            listing=True,
            handler=f"{_MODULE}.showing:show_history",
        ),
        Command(
            path="record-types",
            aliases=("rti",),
            summary="show record types and their fields",
            example="record-types pamDatabase",
            arguments=(positional("type", kind=ArgumentKind.RECORD_TYPE, required=False, help="one type"),),
            listing=True,
            needs_login=False,
            handler=f"{_MODULE}.showing:show_types",
        ),
    ]  # fmt: skip


def _record_commands() -> list[Command | Group]:
    fields = positional(
        "field", kind=ArgumentKind.FIELD, required=False, repeat=True, help="TYPE=VALUE"
    )
    secret_fields = (
        option("--field-file", metavar="TYPE=PATH", repeat=True, help="read a field from a private file"),
        option("--field-stdin", metavar="TYPE", help="read a field from standard input"),
        flag("--force", "-f", help="keep fields that the record type does not have"),
    )  # fmt: skip
    return [
        Command(
            path="record-add",
            aliases=("ra",),
            summary="make a record",
            example=(
                'record-add -t "Orders DB" -rt pamDatabase --folder Infrastructure '
                "pamHostname=10.0.0.5:5432 databaseType=postgresql login=app"
            ),
            description=_FIELDS_HELP,
            arguments=(
                option("-t", "--title", required=True, help="title"),
                option("-rt", "--record-type", kind=ArgumentKind.RECORD_TYPE, required=True, help="type, see record-types"),
                option("--folder", kind=ArgumentKind.FOLDER, help="where to put it (default: the current folder)"),
                option("-n", "--notes", help="notes"),
                flag("--if-missing", help="do nothing when the same record is there; exit 7 when it differs"),
                fields,
                *secret_fields,
            ),
            handler=f"{_MODULE}.adding:add",
        ),
        Command(
            path="record-update",
            aliases=("ru",),
            summary="change fields of a record",
            example='record-update -r "Orders DB" login=admin',
            description=_FIELDS_HELP,
            arguments=(
                option("-r", "--record", kind=ArgumentKind.RECORD, required=True, help="UID, title or path"),
                option("-t", "--title", help="another title"),
                option("-n", "--notes", help="other notes"),
                option("--remove-file", repeat=True, help="take an attachment away: name or UID"),
                option("--revision", kind=ArgumentKind.INT, help="only if this revision is the newest; else exit 7"),
                fields,
                *secret_fields,
            ),
            handler=f"{_MODULE}.adding:update",
        ),
    ]  # fmt: skip
