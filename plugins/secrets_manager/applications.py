"""`secrets-manager app`: create, list, get, remove."""

from __future__ import annotations

from commander.authority.statements import Right
from commander.clock import iso_utc
from commander.errors import Conflict, Refused
from commander.plugin.command import Arguments
from commander.plugin.context import Context
from commander.plugin.results import Column, Document, Done, Plain, Result, Shape, Table, Unchanged
from commander.vault.application_users import users_of
from commander.vault.applications import Client
from commander.vault.replica import OpenApplication
from commander.vault.session import Vault
from commander.vault.state import join_path
from plugins.secrets_manager.clients import client_status

_COLUMNS = (
    Column("app_name", "App Name"),
    Column("app_uid", "App UID"),
    Column("records"),
    Column("folders"),
    Column("devices"),
    Column("gateways"),
    Column("last_access", shape=Shape.TIME),
)


async def create(context: Context, arguments: Arguments) -> Result:
    """Make an application; titles are names here, so each is there once."""
    vault, name = context.vault, arguments.text("name")
    await vault.refresh()
    known = find_named(vault, name)
    if known is not None:
        if not arguments.flag("if_missing"):
            raise Conflict(
                f"application {name!r} exists already", hint="choose another name, or --if-missing"
            )
        data: dict[str, Plain] = {"app_uid": known.uid, "app_name": known.title}
        return Unchanged(f"Application {name!r} exists already.", data)
    made = await vault.applications.create(name)
    context.variables.set("last_application_uid", made.uid)
    return Done(
        f"Application {name!r} was made (UID: {made.uid}).",
        {"app_uid": made.uid, "app_name": made.title},
    )


def find_named(vault: Vault, name: str) -> OpenApplication | None:
    """The application of exactly this name, or None."""
    return next((app for app in vault.applications.all() if app.title == name), None)


async def list_applications(context: Context, arguments: Arguments) -> Table:
    """All applications this user can open."""
    vault = context.vault
    await vault.refresh()
    rows = [await _row(vault, application) for application in vault.applications.all()]
    return Table(_COLUMNS, rows, empty="There are no applications.")


async def _row(vault: Vault, application: OpenApplication) -> dict[str, Plain]:
    folders = vault.applications.folders_of(application.uid)
    row: dict[str, Plain] = {
        "app_name": application.title,
        "app_uid": application.uid,
        "records": sum(record.domain in folders for record in vault.view.records.values()),
        "folders": len(folders),
    }
    try:
        clients = await vault.applications.clients(application.uid)
    except Refused:
        return row  # without the policy the clients are not this user's to see
    devices = [client for client in clients if client.row.kind == "client"]
    row["devices"] = len(devices)
    row["gateways"] = len(clients) - len(devices)
    row["last_access"] = max((client.row.last_access for client in clients), default=0) or None
    return row


async def get(context: Context, arguments: Arguments) -> Document:
    """One application with its folders and clients."""
    vault = context.vault
    await vault.refresh()
    application = vault.applications.find(arguments.text("name"))
    clients = await _clients(vault, application.uid)
    owner = vault.state.applications.get(application.uid)
    values: dict[str, Plain] = {
        "app_name": application.title,
        "app_uid": application.uid,
        "owner": vault.people.email_of(owner.owner) if owner else "",
        "users": [
            {"username": user.email, "role": user.role} for user in users_of(vault, application.uid)
        ],
        "shares": shares_of(vault, application.uid),
        "client_devices": [device_values(client, vault) for client in clients],
    }
    return Document(values, text=_text(values, clients, vault))


async def _clients(vault: Vault, uid: str) -> list[Client]:
    try:
        return await vault.applications.clients(uid)
    except Refused:
        return []  # a viewer sees what the application may read, not who reads it


def shares_of(vault: Vault, uid: str) -> list[dict[str, Plain]]:
    """The folders an application may use, by name."""
    view = vault.view
    found: list[dict[str, Plain]] = []
    for access in vault.state.folders_of(uid):
        is_seen = access.folder in view.folders
        found.append(
            {
                "share_type": "FOLDER",
                "uid": access.folder,
                "title": join_path(view.path_of(access.folder)) if is_seen else "",
                "editable": Right.EDIT in access.rights,
                "expires": iso_utc(access.not_after) if access.not_after else None,
            }
        )
    return sorted(found, key=lambda share: str(share["title"]).casefold())


def device_values(client: Client, vault: Vault) -> dict[str, Plain]:
    """A client as data; times in ISO 8601, None for never."""
    row = client.row
    return {
        "name": client.name,
        "client_id": row.client_id,
        "kind": row.kind,
        "status": client_status(client, vault),
        "created_on": _time(row.created),
        "expires_on": _time(row.access_expires),
        "first_access": _time(row.first_access),
        "last_access": _time(row.last_access),
        "ip_lock": row.ip_lock,
        "ip_address": row.address,
    }


def _time(seconds: int) -> str | None:
    return iso_utc(seconds) if seconds else None


def _text(values: dict[str, Plain], clients: list[Client], vault: Vault) -> str:
    lines = [
        f"Application: {values['app_name']}",
        f"UID:         {values['app_uid']}",
        f"Owner:       {values['owner']}",
        "",
        "Folders:",
    ]
    users, shares = values["users"], values["shares"]
    assert isinstance(users, list)
    assert isinstance(shares, list)
    for share in shares:
        right = "editable" if share["editable"] else "read-only"
        lines.append(f"  {share['title'] or share['uid']}  ({right})")
    lines += ([] if shares else ["  none"]) + ["", "Users:"]
    lines += [f"  {user['username']}  ({user['role']})" for user in users]
    lines += ["", "Clients:"]
    for client in clients:
        lines.append(f"  {client.name}  ({client.row.kind}, {client_status(client, vault)})")
    return "\n".join(lines if clients else [*lines, "  none"])


async def update(context: Context, arguments: Arguments) -> Result:
    """Give an application another name."""
    vault, name = context.vault, arguments.text("new_name")
    await vault.refresh()
    application = vault.applications.find(arguments.text("name"))
    other = find_named(vault, name)
    if other is not None and other.uid != application.uid:
        raise Conflict(f"application {name!r} exists already", hint="choose another name")
    changed = await vault.applications.rename(application.uid, name)
    data: dict[str, Plain] = {"app_uid": application.uid, "app_name": name}
    if not changed:
        return Unchanged(f"Application {name!r} has that name already.", data)
    return Done(f"Application {application.title!r} is now {name!r}.", data)


async def remove(context: Context, arguments: Arguments) -> Result:
    """End an application; its clients and gateways end with it."""
    vault = context.vault
    await vault.refresh()
    application = vault.applications.find(arguments.text("name"))
    gateways = [g for g in vault.state.gateways.values() if g.application == application.uid]
    await context.console.confirm(
        f"Remove application {application.title!r} with its clients and {len(gateways)} gateways?",
        force=arguments.flag("force"),
    )
    await vault.applications.remove(application.uid)
    return Done(f"Application {application.title!r} was removed.", {"app_uid": application.uid})
