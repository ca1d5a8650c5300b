"""`pam gateway list`, `info` and `remove`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from commander.plugin.command import Arguments
from commander.plugin.context import Context
from commander.plugin.results import Column, Document, Done, Plain, Result, Shape, Table
from commander.vault.state import join_path
from plugins.pam.config.known import of_gateway
from plugins.pam.gateway.known import ListedGateway, Status, find_gateway, list_gateways

_COLUMNS = (
    Column("ksm_app_name", "Application"),
    Column("gateway_name", "Gateway Name"),
    Column("gateway_uid", "Gateway UID"),
    Column("status"),
    Column("gateway_version", "Version"),
    Column("connected_on", "Connected", Shape.TIME),
    Column("ip_address", "IP Address", detail=True),
    Column("ksm_app_uid", "Application UID", detail=True),
    Column("created_on", "Created", Shape.TIME, detail=True),
    Column("token_expires", "Token Expires", Shape.TIME, detail=True),
    Column("client_id", "Client ID", detail=True),
)
_ORDER = {status: place for place, status in enumerate(Status)}


async def list_all(context: Context, arguments: Arguments) -> Table:
    """All gateways, the connected ones first."""
    await context.vault.refresh()
    gateways = await list_gateways(context)
    if arguments.flag("online"):
        gateways = [gateway for gateway in gateways if gateway.status is Status.ONLINE]
    gateways.sort(key=lambda gateway: (_ORDER[gateway.status], gateway.application_title))
    columns: Sequence[Column] = _COLUMNS
    if arguments.flag("verbose"):
        columns = [replace(column, detail=False) for column in columns]
    empty = "No gateway is online." if arguments.flag("online") else "There are no gateways yet."
    return Table(columns, [_row(gateway) for gateway in gateways], empty=empty)


def _row(gateway: ListedGateway) -> dict[str, Plain]:
    return {
        "ksm_app_name": gateway.application_title,
        "gateway_name": gateway.name,
        "gateway_uid": gateway.uid,
        "status": str(gateway.status),
        "gateway_version": gateway.version,
        "connected_on": gateway.connected_at or None,
        "ip_address": gateway.address,
        "ksm_app_uid": gateway.application,
        "created_on": gateway.created or None,
        "token_expires": gateway.token_expires or None,
        "client_id": gateway.client_id,
    }


async def info(context: Context, arguments: Arguments) -> Document:
    """One gateway with its configurations and the folders it may read."""
    vault = context.vault
    await vault.refresh()
    gateway = await find_gateway(context, arguments.text("gateway"))
    view = vault.view
    values = _row(gateway)
    values["folders"] = [
        join_path(view.path_of(uid)) if uid in view.folders else uid
        for uid in vault.applications.folders_of(gateway.application)
    ]
    bound = of_gateway(vault, gateway.uid) if gateway.uid else []
    values["configurations"] = [{"uid": found.record.uid, "title": found.title} for found in bound]
    shapes = {column.key: column.shape for column in _COLUMNS}
    return Document(values, title=f"Gateway {gateway.label}", shapes=shapes)


async def remove(context: Context, arguments: Arguments) -> Result:
    """Revoke a gateway, or end a token that waits; its tunnels end at once."""
    vault = context.vault
    await vault.refresh()
    gateway = await find_gateway(context, arguments.text("gateway"))
    bound = of_gateway(vault, gateway.uid) if gateway.uid else []
    named = ", ".join(repr(found.title) for found in bound)
    used = f" Configurations use it: {named}." if bound else ""
    await context.console.confirm(
        f"Remove gateway {gateway.label!r} of application {gateway.application_title!r}?{used}",
        force=arguments.flag("force"),
    )
    if gateway.client_id:
        await vault.applications.remove_clients({gateway.client_id: gateway.voucher})
    else:
        await vault.applications.revoke_gateway(gateway.uid)
    data: dict[str, Plain] = {"gateway_uid": gateway.uid, "gateway_name": gateway.name}
    if bound:
        context.console.notice(
            f"these configurations name a gateway that is gone: {named}; "
            "pam config edit TITLE --gateway G repairs them"
        )
    return Done(f"Gateway {gateway.label!r} was removed.", data)
