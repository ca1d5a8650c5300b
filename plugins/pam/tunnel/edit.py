"""`pam tunnel edit`: the tunnel settings of a resource."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from commander.errors import Conflict, InvalidInput, NotFound, UsageError
from commander.plugin.command import Arguments
from commander.plugin.context import Context
from commander.plugin.results import Done, Plain, Result, Unchanged
from commander.vault.session import Vault
from commander.wire.pam import (
    MAX_PORT_PAIRS,
    ConfigurationSettings,
    PamSettings,
    PortPair,
    ResourceSettings,
    TunnelSettings,
    parse_paths,
)
from commander.wire.records import parse_port
from plugins.pam.tunnel.request import check_resource


async def edit(context: Context, arguments: Arguments) -> Result:
    """Change what was named, leave the rest; no flag at all is a mistake."""
    vault = context.vault
    await vault.refresh()
    record = vault.find_record(arguments.text("record"), base=context.location.folder)
    check_resource(record)
    links = _links(context, arguments)

    def change(before: PamSettings | None) -> PamSettings:
        if isinstance(before, ConfigurationSettings):
            raise InvalidInput(f"{record.data.title!r} holds the settings of a configuration")
        resource = msgspec.structs.replace(before or ResourceSettings(), **links)
        return msgspec.structs.replace(resource, tunnel=_tunnel(resource.tunnel, arguments))

    changed = await vault.change_settings(record.uid, change)
    data = _summary(vault, record.uid)
    if not changed:
        return Unchanged(f"Tunnel settings of {record.data.title} are as asked already.", data)
    return Done(f"Tunnel settings of {record.data.title} changed.", data)


def _tunnel(before: TunnelSettings, arguments: Arguments) -> TunnelSettings:
    changes: dict[str, bool | int | tuple[PortPair, ...]] = {}
    if arguments.flag("enable_tunneling") or arguments.flag("disable_tunneling"):
        changes["enabled"] = arguments.flag("enable_tunneling")
    remote, local = arguments.text_or_none("remote_port"), arguments.text_or_none("local_port")
    if remote is not None:
        changes["remote_port"] = 0 if remote == "record" else parse_port(remote)
    if local is not None:
        changes["local_port"] = 0 if local == "auto" else parse_port(local)
    reuse = arguments.text_or_none("reuse_port")
    if reuse is not None:
        changes["reuse_port"] = reuse == "on"
    remote_clients = arguments.text_or_none("allow_remote_clients")
    if remote_clients is not None:
        changes["remote_clients"] = remote_clients == "on"
    ports = change_ports(before.ports, arguments.texts("add_port"), arguments.texts("remove_port"))
    if ports != before.ports:
        changes["ports"] = ports
    return msgspec.structs.replace(before, **changes)


def change_ports(
    before: tuple[PortPair, ...], added: Sequence[str], removed: Sequence[str]
) -> tuple[PortPair, ...]:
    """
    Add LOCAL:REMOTE pairs (or REMOTE alone) and remove them by the same words, or by REMOTE.

    Each remote port is there once: to change a pair, remove it and add it anew. Raises NotFound,
    Conflict, InvalidInput.
    """
    pairs = {pair.remote: pair for pair in before}
    for text in removed:
        wanted = _parse_pair(text)
        found = pairs.get(wanted.remote)
        if found is None or (":" in text and found != wanted):
            raise NotFound(f"there is no port pair {text!r}", hint="pam tunnel edit without it")
        del pairs[wanted.remote]
    for text in added:
        pair = _parse_pair(text)
        there = pairs.setdefault(pair.remote, pair)
        if there != pair:
            raise Conflict(
                f"port {pair.remote} has local port {there.local or 'auto'} already",
                hint=f"--remove-port {pair.remote} first",
            )
    if len(pairs) > MAX_PORT_PAIRS:
        raise InvalidInput(f"a record has at most {MAX_PORT_PAIRS} further ports")
    return tuple(pairs.values())


def _parse_pair(text: str) -> PortPair:
    local, _, remote = text.rpartition(":")
    return PortPair(parse_port(remote), 0 if local in ("", "auto") else parse_port(local))


def _links(context: Context, arguments: Arguments) -> dict[str, str | bool | tuple[str, ...]]:
    vault, base = context.vault, context.location.folder
    links: dict[str, str | bool | tuple[str, ...]] = {}
    name = arguments.text_or_none("configuration")
    if name is not None:
        configuration = vault.find_record(name, base=base)
        if not isinstance(vault.settings(configuration.uid), ConfigurationSettings):
            raise UsageError(
                f"{configuration.data.title!r} is not a PAM configuration",
                hint="pam config list shows them",
            )
        links["configuration"] = configuration.uid
    for key in ("administrative_credential", "launch_credential"):
        name = arguments.text_or_none(key)
        if name is not None:
            links[key] = vault.find_record(name, base=base).uid if name else ""
    supply = arguments.text_or_none("allow_supply_host")
    if supply is not None:
        links["allow_supply_host"] = supply == "on"
    paths = arguments.text_or_none("paths")
    if paths is not None:
        links["paths"] = parse_paths(paths)
    return links


def _summary(vault: Vault, record: str) -> dict[str, Plain]:
    settings = vault.settings(record)
    if not isinstance(settings, ResourceSettings):
        return {"record_uid": record}
    return {
        "record_uid": record,
        "configuration_uid": settings.configuration,
        "tunneling": "on" if settings.tunnel.enabled else "off",
        "remote_port": settings.tunnel.remote_port or "record",
        "local_port": settings.tunnel.local_port or "auto",
        "ports": [f"{pair.local or 'auto'}:{pair.remote}" for pair in settings.tunnel.ports],
        "reuse_port": "on" if settings.tunnel.reuse_port else "off",
        "allow_remote_clients": "on" if settings.tunnel.remote_clients else "off",
        "allow_supply_host": "on" if settings.allow_supply_host else "off",
        "paths": ",".join(settings.paths) or "all",
    }
