"""`pam config list`: all configurations, or one with everything it says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from commander.plugin.command import Arguments
from commander.plugin.context import Context
from commander.plugin.results import Column, Document, Plain, Table
from commander.vault.replica import OpenRecord
from commander.vault.session import Vault
from commander.vault.state import join_path
from commander.wire.pam import SWITCHES
from plugins.pam.config.known import (
    Configuration,
    configurations,
    find_configuration,
    resources_of,
)
from plugins.pam.gateway.known import list_gateways

_COLUMNS = (
    Column("uid", "UID"),
    Column("config_name", "Config Name"),
    Column("environment"),
    Column("folder"),
    Column("gateway_name", "Gateway"),
    Column("gateway_uid", "Gateway UID", detail=True),
    Column("tunneling"),
    *(Column(switch, detail=True) for switch in SWITCHES if switch != "tunneling"),
    Column("network_id", "Network ID", detail=True),
    Column("network_cidr", "Network CIDR", detail=True),
    Column("port_mappings", detail=True),
    Column("schedule", detail=True),
    Column("resource_record_uids", "Resource Record UIDs", detail=True),
)


async def list_all(context: Context, arguments: Arguments) -> Table | Document:
    """List configurations; -c shows one."""
    vault = context.vault
    await vault.refresh()
    names = {gateway.uid: gateway.name for gateway in await list_gateways(context) if gateway.uid}
    used = resources_of(vault)
    wanted = arguments.text_or_none("config")
    if wanted is not None:
        known = find_configuration(context, wanted)
        return Document(_row(vault, known, names, used), title=known.title)
    columns: Sequence[Column] = _COLUMNS
    if arguments.flag("verbose"):
        columns = [replace(column, detail=False) for column in columns]
    rows = [_row(vault, known, names, used) for known in configurations(vault)]
    return Table(columns, rows, empty="There are no PAM configurations.")


def _row(
    vault: Vault,
    known: Configuration,
    names: Mapping[str, str],
    used: Mapping[str, list[OpenRecord]],
) -> dict[str, Plain]:
    settings, record = known.settings, known.record
    inner = record.inner_folder
    folder = inner if inner in vault.view.folders else record.domain
    return {
        "uid": record.uid,
        "config_name": known.title,
        "environment": settings.environment,
        "folder": join_path(vault.view.path_of(folder)),
        "gateway_name": names.get(settings.gateway, ""),
        "gateway_uid": settings.gateway,
        **{switch: getattr(settings, switch) for switch in SWITCHES},
        "network_id": settings.network_id,
        "network_cidr": settings.network_cidr,
        "port_mappings": list(settings.port_mappings),
        "schedule": settings.schedule,
        "resource_record_uids": [resource.uid for resource in used.get(record.uid, [])],
    }
