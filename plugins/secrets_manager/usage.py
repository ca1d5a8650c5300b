"""`secrets-manager usage`: which applications and clients are used, and what clients changed."""

from __future__ import annotations

import re
from collections import deque

from commander.audit.events import DeviceWrote
from commander.authority.decide import Action
from commander.clock import iso_utc
from commander.errors import Refused, UsageError
from commander.plugin.command import Arguments
from commander.plugin.context import Context
from commander.plugin.results import Column, Plain, Shape, Table
from commander.vault.applications import Client
from commander.vault.replica import OpenApplication
from commander.vault.session import Vault
from plugins.audit.reading import LogFilter, read_log
from plugins.secrets_manager.clients import client_status

MAX_LIMIT = 100_000
_RANGE = re.compile(r"([0-9]{1,5})([hd])\Z", re.ASCII)
_SECONDS = {"h": 3_600, "d": 86_400}
_SUMMARY = (
    Column("app_name", "App Name"),
    Column("devices"),
    Column("used", "Used In Range"),
    Column("never_used"),
    Column("unconfirmed"),
    Column("last_access", shape=Shape.TIME),
    Column("app_uid", "App UID", detail=True),
)
_DEVICES = (
    Column("app_name", "App Name"),
    Column("client_name", "Name"),
    Column("status"),
    Column("first_access", shape=Shape.TIME),
    Column("last_access", shape=Shape.TIME),
    Column("used", "Used In Range"),
    Column("address", "IP Address"),
    Column("client_id", "Client ID", detail=True),
)
_CHANGES = (
    Column("time"),
    Column("app_name", "App Name"),
    Column("client_name", "Name"),
    Column("change"),
    Column("record"),
    Column("record_uid", detail=True),
    Column("client_uid", detail=True),
)


async def usage(context: Context, arguments: Arguments) -> Table:
    """By application, by client, or change by change out of the audit log (administrators)."""
    vault = context.vault
    await vault.refresh()
    name = arguments.text_or_none("name")
    wanted = [vault.applications.find(name)] if name else vault.applications.all()
    since = vault.now - seconds_of(arguments.text("range"))
    found = [(application, await _clients(vault, application)) for application in wanted]
    if arguments.flag("detail"):
        limit = arguments.integer("limit")
        if not 1 <= limit <= MAX_LIMIT:
            raise UsageError(f"--limit {limit} is not 1 to {MAX_LIMIT}")
        return await _changes(context, found, int(since), limit)
    if arguments.flag("by_device"):
        rows = [_device(vault, app, client, since) for app, clients in found for client in clients]
        return Table(_DEVICES, rows, empty="There are no clients.")
    rows = [_summary(vault, app, clients, since) for app, clients in found]
    return Table(_SUMMARY, rows, empty="There are no applications.")


def seconds_of(text: str) -> int:
    """24h, 7d: seconds. Raises UsageError."""
    found = _RANGE.match(text)
    if found is None:
        raise UsageError(f"--range {text[:20]!r} is no time", hint="for example 24h, 7d, 30d")
    return int(found[1]) * _SECONDS[found[2]]


async def _clients(vault: Vault, application: OpenApplication) -> list[Client]:
    try:
        clients = await vault.applications.clients(application.uid)
    except Refused:
        return []  # a viewer, or without the policy: they are not this user's to see
    return [client for client in clients if client.row.kind == "client"]


def _summary(
    vault: Vault, application: OpenApplication, clients: list[Client], since: float
) -> dict[str, Plain]:
    return {
        "app_name": application.title,
        "app_uid": application.uid,
        "devices": len(clients),
        "used": sum(client.row.last_access >= since for client in clients),
        "never_used": sum(not client.row.last_access for client in clients),
        "unconfirmed": sum(client_status(client, vault) == "unconfirmed" for client in clients),
        "last_access": max((client.row.last_access for client in clients), default=0) or None,
    }


def _device(
    vault: Vault, application: OpenApplication, client: Client, since: float
) -> dict[str, Plain]:
    row = client.row
    return {
        "app_name": application.title,
        "client_name": client.name,
        "client_id": row.client_id,
        "status": client_status(client, vault),
        "first_access": row.first_access or None,
        "last_access": row.last_access or None,
        "used": row.last_access >= since,
        "address": row.address,
    }


async def _changes(
    context: Context,
    found: list[tuple[OpenApplication, list[Client]]],
    since: int,
    limit: int,
) -> Table:
    vault = context.vault
    vault.require(Action.ADMINISTER)
    names = {
        vault.applications.uid_of_client(client.row.client_id): client.name
        for _, clients in found
        for client in clients
    }
    titles = {str(application.uid): application.title for application, _ in found}
    kept: deque[dict[str, Plain]] = deque(maxlen=limit)
    async for page in read_log(vault, LogFilter(since=since, kind="device-wrote")):
        for stored in page:
            event = stored.entry.event() if stored.entry else None
            if isinstance(event, DeviceWrote) and str(event.application) in titles:
                assert stored.entry is not None
                kept.append(_change(vault, event, stored.entry.time_ms, names, titles))
    return Table(_CHANGES, list(kept), empty="No changes.")


def _change(
    vault: Vault,
    event: DeviceWrote,
    time_ms: int,
    names: dict[str, str],
    titles: dict[str, str],
) -> dict[str, Plain]:
    uid = str(event.record)
    record, folder = vault.view.records.get(uid), vault.view.folders.get(uid)
    title = record.data.title if record else folder.name if folder else ""
    return {
        "time": iso_utc(time_ms / 1000),
        "app_name": titles[str(event.application)],
        "client_name": names.get(str(event.client), ""),
        "change": str(event.what),
        "record": title,
        "record_uid": uid,
        "client_uid": str(event.client),
    }
