"""A plugin as its authors write it, for the tests of the shell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from commander.errors import NotFound
from commander.plugin.command import (
    Argument,
    ArgumentKind,
    Arguments,
    Command,
    Group,
    flag,
    option,
    positional,
)
from commander.plugin.context import Context
from commander.plugin.hookspecs import CompletionSource, hookimpl
from commander.plugin.results import (
    Column,
    Done,
    Exited,
    Plain,
    Result,
    Shape,
    Table,
    Text,
)

_ME = "tests.unit.plugin.sample"
RECORDS = ["Orders DB", "Orders Archive", "Café", "--all", "it's"]


@hookimpl
def commander_commands() -> list[Command | Group]:
    return [
        Group("pam", "privileged access"),
        Group("pam tunnel", "tunnels", aliases=("pam t",)),
        Group("secrets-manager", "applications", aliases=("sm",)),
        START,
        LIST,
        Command(
            path="pam tunnel stop",
            aliases=("pam tunnel x",),
            summary="stop tunnels",
            example="pam tunnel stop --all",
            arguments=(
                positional("tunnel", kind=ArgumentKind.TUNNEL, required=False, help="id"),
                flag("--all", help="all of them"),
            ),
            handler=f"{_ME}:stop",
            needs_login=False,
            destructive=True,
        ),
        Command(
            path="secrets-manager app list",
            summary="list applications",
            example="secrets-manager app list",
            handler=f"{_ME}:list_tunnels",
        ),
        Command(
            path="mv",
            summary="move",
            example="mv a b",
            arguments=(
                positional("source", repeat=True, help="what"),
                positional("target", help="where to"),
            ),
            handler=f"{_ME}:show",
            needs_login=False,
        ),
        ADD,
        Command(
            path="fail",
            summary="fail in a chosen way",
            example="fail missing",
            arguments=(positional("how", choices=("missing", "bug", "code", "os"), help="how"),),
            handler=f"{_ME}:fail",
            needs_login=False,
        ),
    ]


START = Command(
    path="pam tunnel start",
    summary="open a tunnel",
    example='pam tunnel start "Orders DB" --port 15432',
    arguments=(
        positional("record", kind=ArgumentKind.RECORD, help="UID, title or path"),
        option("--port", "-p", kind=ArgumentKind.PORT, help="local port"),
        option("--target-host", "-th", help="host"),
        option("--timeout", kind=ArgumentKind.DURATION, default=30, help="limit"),
        option("--wait", choices=("yes", "no"), help="wait"),
        option("--tag", "-t", repeat=True, help="tags"),
        option("--offset", kind=ArgumentKind.INT, help="any number"),
        flag("--new", "-n", help="another"),
        flag("--background", "-b", help="leave it"),
        flag("--foreground", help="stay"),
        Argument(("command",), ArgumentKind.REST, help="run it"),
    ),
    exclusive=(("background", "foreground"),),
    handler=f"{_ME}:show",
    needs_login=False,
)

LIST = Command(
    path="pam tunnel list",
    aliases=("pam tunnel l", "tl"),
    summary="list tunnels",
    example="pam tunnel list",
    handler=f"{_ME}:list_tunnels",
    needs_login=False,
    listing=True,
)

ADD = Command(
    path="record-add",
    summary="add a record",
    example="record-add --title T login=me",
    arguments=(
        option("--title", "-t", required=True, help="title"),
        option("--pin-code", secret=True, help="a secret"),
        positional("fields", kind=ArgumentKind.FIELD, required=False, repeat=True, help="F=V"),
    ),
    handler=f"{_ME}:add",
)


@hookimpl
def commander_completions() -> Mapping[ArgumentKind, CompletionSource | str]:
    def broken(context: Context) -> Iterable[str]:
        raise RuntimeError("no names today")

    return {ArgumentKind.RECORD: f"{_ME}:record_titles", ArgumentKind.TUNNEL: broken}


def record_titles(context: Context) -> Iterable[str]:
    return RECORDS


async def show(context: Context, arguments: Arguments) -> Result:
    return Text(" ".join(f"{key}={value!r}" for key, value in arguments._values.items()))


async def list_tunnels(context: Context, arguments: Arguments) -> Result:
    rows: list[Mapping[str, Plain]] = [
        {"record_uid": "u1", "title": "Orders\x1b]52;c;AAAA\x07", "bytes_in": 1536, "since": 0},
        {"record_uid": "u2", "title": "=1+1", "bytes_in": 2, "since": None, "host": "h"},
    ]
    columns = (
        Column("record_uid"),
        Column("title"),
        Column("bytes_in", "In", Shape.SIZE),
        Column("since", shape=Shape.TIME),
        Column("host", detail=True),
    )
    return Table(columns, rows)


async def stop(context: Context, arguments: Arguments) -> Result:
    await context.console.confirm("stop it?", force=arguments.flag("force"))
    return Done("stopped", {"count": 1})


async def add(context: Context, arguments: Arguments) -> Result:
    _ = context.vault
    return Done(f"added {arguments.text('title')}")


async def fail(context: Context, arguments: Arguments) -> Result:
    how = arguments.text("how")
    if how == "missing":
        raise NotFound("no record is called 'X'", hint="ls shows them")
    if how == "os":
        raise FileNotFoundError(2, "No such file", "/no/such")
    if how == "code":
        return Exited(7, Text("last words"))
    raise RuntimeError("canary-secret in a message")
