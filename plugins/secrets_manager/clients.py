"""`secrets-manager client`: add (token or configuration), list, remove."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from commander.clock import iso_utc
from commander.errors import Conflict, InvalidInput, NotFound, UsageError
from commander.files import write_private
from commander.plugin.command import Arguments
from commander.plugin.context import Context
from commander.plugin.results import (
    Column,
    Document,
    Done,
    Plain,
    Result,
    Shape,
    Table,
    Text,
    Unchanged,
)
from commander.vault.applications import Client, NewToken
from commander.vault.replica import OpenApplication
from commander.vault.session import Vault
from commander.wire.calls import ServerInfo
from commander.wire.known_server import KnownServer
from plugins.secrets_manager.fingerprints import fingerprint
from plugins.secrets_manager.handover import (
    MadeClient,
    config_text,
    make_client,
    server_lines,
    token_text,
)
from plugins.secrets_manager.leaving import tell_what_stays
from plugins.secrets_manager.server_keys import server_info

MAX_COUNT = 500
MAX_ACCESS_MINUTES = 10 * 366 * 24 * 60
MIN_PREFIX = 8
_COLUMNS = (
    Column("client_name", "Name"),
    Column("kind"),
    Column("status"),
    Column("last_access", shape=Shape.TIME),
    Column("access_expires", "Access Expires", Shape.TIME),
    Column("ip_lock", "IP Lock"),
    Column("address", "IP Address"),
    Column("short_id", "Short ID"),
    Column("client_id", "Client ID", detail=True),
    Column("created", shape=Shape.TIME, detail=True),
    Column("first_access", shape=Shape.TIME, detail=True),
    Column("token_expires", shape=Shape.TIME, detail=True),
    Column("fingerprint", detail=True),
)


def client_status(client: Client, vault: Vault) -> str:
    """
    unbound (nobody used its token yet), bound, unconfirmed (whoever used the token first), expired
    (token or access), or wrong key (the server names another one than the log or this device).
    """
    row = client.row
    if not row.bound:
        return "expired" if row.token_expires <= vault.now else "unbound"
    if 0 < row.access_expires <= vault.now:
        return "expired"
    if row.kind == "gateway":
        return "bound"
    confirmed, first = vault.applications.key_state(row.client_id)
    if row.public_key not in (b"", confirmed or first or row.public_key):
        return "wrong key"
    return "bound" if confirmed else "unconfirmed"


async def add(context: Context, arguments: Arguments) -> Result:
    """Make tokens, or configurations with keys made here; either is shown this once."""
    vault = context.vault
    await vault.refresh()
    application = vault.applications.find(arguments.text("app"))
    names = client_names(arguments.text("name"), arguments.integer("count"))
    _check_minutes(arguments.integer_or_none("access_expire_in_min"))
    known = {client.name for client in await vault.applications.clients(application.uid)}
    taken = [name for name in names if name in known]
    if taken and arguments.flag("if_missing") and len(taken) == len(names):
        data: dict[str, Plain] = {"app_uid": application.uid, "clients": list(names)}
        return Unchanged(f"Client {arguments.text('name')!r} exists already.", data)
    if taken:
        raise Conflict(
            f"application {application.title!r} has a client {taken[0]!r} already",
            hint="choose another --name",
        )
    info = await server_info(context)
    output = arguments.text_or_none("output")
    if output is not None:
        check_new_file(Path(output))
    if arguments.text_or_none("config_init"):
        return await _add_configured(context, arguments, application, names, info)
    tokens = await vault.applications.add_clients(
        application.uid,
        names,
        minutes=arguments.integer("first_access_expires_in_min"),
        access_minutes=arguments.integer_or_none("access_expire_in_min") or 0,
        ip_lock=not arguments.flag("unlock_ip"),
    )
    access = _access_end(context, arguments)
    server = vault.login.device.server
    texts = [token_text(token.token, server) for token in tokens]
    if output is not None:
        ids = [token.client_id for token in tokens]
        return _written(Path(output), "\n".join(texts), application, ids)
    if arguments.flag("return_tokens"):
        return Text(", ".join(texts))
    return _tokens_result(arguments, application, names, tokens, access, server, info)


def client_names(name: str, count: int) -> list[str]:
    """`name`, or `name 1` to `name N`. Raises UsageError."""
    if not 1 <= count <= MAX_COUNT:
        raise UsageError(f"--count {count} is not 1 to {MAX_COUNT}")
    return [name] if count == 1 else [f"{name} {number}" for number in range(1, count + 1)]


def _check_minutes(minutes: int | None) -> None:
    if minutes is not None and not 0 < minutes <= MAX_ACCESS_MINUTES:
        raise InvalidInput(
            f"--access-expire-in-min {minutes} is not 1 to {MAX_ACCESS_MINUTES}",
            hint="leave it out for access without end",
        )


def _access_end(context: Context, arguments: Arguments) -> str | None:
    minutes = arguments.integer_or_none("access_expire_in_min")
    return iso_utc(context.vault.now + 60 * minutes) if minutes else None


async def _add_configured(
    context: Context,
    arguments: Arguments,
    application: OpenApplication,
    names: Sequence[str],
    info: ServerInfo,
) -> Result:
    vault, form = context.vault, arguments.text("config_init")
    server = vault.login.device.server
    made = [make_client(name, server, info, application.key) for name in names]
    # Written before anything is entered: a configuration that has no form is not made.
    text = config_text(made, form)
    await vault.applications.add_bound_clients(
        application.uid,
        [item.client for item in made],
        access_minutes=arguments.integer_or_none("access_expire_in_min") or 0,
        ip_lock=not arguments.flag("unlock_ip"),
    )
    output = arguments.text_or_none("output")
    if output is not None:
        return _written(Path(output), text, application, [item.client.client_id for item in made])
    context.console.notice(
        f"{_count(made)} of application {application.title!r}: this is shown once"
    )
    values: dict[str, Plain] = {
        "app_uid": application.uid,
        "app_name": application.title,
        "access_expires": _access_end(context, arguments),
        "clients": [
            {
                "name": item.client.name,
                "client_id": item.client.client_id,
                "config": config_text([item], form),
            }
            for item in made
        ],
    }
    return Document(values, text=text)


def check_new_file(path: Path) -> None:
    """Before anything is entered: raise Conflict when something is there."""
    if path.exists() or path.is_symlink():
        raise Conflict(f"{path} exists", hint="choose another name")


def _written(
    path: Path, text: str, application: OpenApplication, client_ids: Sequence[str]
) -> Done:
    write_private(path, text.rstrip("\n").encode() + b"\n")
    return Done(
        f"{path} written, readable by you alone; it is there this once.",
        {"app_uid": application.uid, "file": str(path), "clients": list(client_ids)},
    )


def _count(made: Sequence[MadeClient]) -> str:
    return "configuration of 1 client" if len(made) == 1 else f"{len(made)} configurations"


def _tokens_result(
    arguments: Arguments,
    application: OpenApplication,
    names: Sequence[str],
    tokens: Sequence[NewToken],
    access: str | None,
    server: KnownServer,
    info: ServerInfo,
) -> Document:
    ip_lock = not arguments.flag("unlock_ip")
    lines = [f"Generated for application {application.title!r}, shown once:", "=" * 48]
    clients: list[dict[str, Plain]] = []
    for name, token in zip(names, tokens, strict=True):
        text, expires = token_text(token.token, server), iso_utc(token.expires)
        clients.append(
            {
                "name": name,
                "client_id": token.client_id,
                "token": token.token.text,
                "one_time_token": text,
                "ip_lock": ip_lock,
                "token_expires": expires,
                "access_expires": access,
            }
        )
        lines += [
            "",
            f"One-Time Access Token: {text}",
            f"Name:                  {name}",
            f"IP Lock:               {'Enabled' if ip_lock else 'Disabled'}",
            f"Token Expires On:      {expires}",
            f"App Access Expires on: {access or 'Never'}",
        ]
    beside = server_lines(server, info)
    lines += [
        "",
        f"Hostname:              {beside['hostname']}",
        f"Server Public Key ID:  {beside['server_public_key_id']}",
        f"Server Public Key:     {beside['server_public_key']}",
    ]
    values: dict[str, Plain] = {
        "app_uid": application.uid, "app_name": application.title, **beside, "clients": clients,
    }  # fmt: skip
    return Document(values, text="\n".join(lines))


async def list_clients(context: Context, arguments: Arguments) -> Table:
    """The clients and gateways of an application."""
    vault = context.vault
    await vault.refresh()
    application = vault.applications.find(arguments.text("app"))
    clients = await vault.applications.clients(application.uid)
    rows = [_row(client, vault) for client in clients]
    return Table(_COLUMNS, rows, empty=f"Application {application.title!r} has no clients.")


def _row(client: Client, vault: Vault) -> dict[str, Plain]:
    row = client.row
    return {
        "client_name": client.name,
        "kind": row.kind,
        "status": client_status(client, vault),
        "last_access": row.last_access or None,
        "access_expires": row.access_expires or None,
        "ip_lock": row.ip_lock,
        "address": row.address,
        "fingerprint": fingerprint(row.public_key) if row.public_key else None,
        "short_id": row.client_id[:MIN_PREFIX],
        "client_id": row.client_id,
        "created": row.created or None,
        "first_access": row.first_access or None,
        "token_expires": row.token_expires or None,
    }


async def remove(context: Context, arguments: Arguments) -> Result:
    """Remove clients; their next request is refused. Gateways have a command of their own."""
    vault = context.vault
    await vault.refresh()
    application = vault.applications.find(arguments.text("app"))
    clients = await vault.applications.clients(application.uid)
    devices = [client for client in clients if client.row.kind == "client"]
    wanted = arguments.texts("client")
    if "*" in wanted or "all" in wanted:
        found = devices
    else:
        picked = [find_client(text, clients) for text in wanted]
        found = list({client.row.client_id: client for client in picked}.values())
    if not found:
        return Unchanged(f"Application {application.title!r} has no clients.", {"removed": []})
    names = ", ".join(repr(client.name) for client in found[:10])
    more = f" and {len(found) - 10} more" if len(found) > 10 else ""
    await context.console.confirm(
        f"Remove client {names}{more} of application {application.title!r}?",
        force=arguments.flag("force"),
    )
    await vault.applications.remove_clients({client.row.client_id: "" for client in found})
    tell_what_stays(context, "who had them")
    removed: list[Plain] = [client.row.client_id for client in found]
    return Done(
        f"Removed {len(found)} of {application.title!r}: {names}{more}.", {"removed": removed}
    )


def find_client(text: str, clients: Sequence[Client]) -> Client:
    """A client by id, beginning of the id or name. Raises NotFound, Conflict, UsageError."""
    found = [client for client in clients if client.row.client_id == text]
    found = found or [client for client in clients if client.name == text]
    if not found and len(text) >= MIN_PREFIX:
        found = [client for client in clients if client.row.client_id.startswith(text)]
    if not found:
        raise NotFound(f"no client {text[:80]!r}", hint="secrets-manager client list shows them")
    if len(found) > 1:
        ids = ", ".join(client.row.client_id[:12] for client in found[:10])
        raise Conflict(
            f"{text[:80]!r} names {len(found)} clients: {ids}", hint="give the client id"
        )
    if found[0].row.kind == "gateway":
        raise UsageError(
            f"{found[0].name!r} is a gateway", hint=f"pam gateway remove -g {found[0].name!r}"
        )
    return found[0]
