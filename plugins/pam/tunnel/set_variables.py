"""The variables that a command beside a set of tunnels gets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from commander.hosting.model import TunnelInfo
from commander.wire.records import RecordData
from plugins.pam.tunnel.endpoint import client_program, client_variables, local_address


@dataclass(frozen=True)
class NamedTunnel:
    """One open tunnel of a set, its variables' prefix, its record and the login that goes with it."""

    prefix: str
    tunnel: TunnelInfo
    record: RecordData
    user: str


def set_variables(members: Sequence[NamedTunnel]) -> dict[str, str]:
    """
    PREFIX_HOST, PREFIX_PORT and PREFIX_ADDRESS of each, or PREFIX_SOCKET of a Unix socket.

    A client's own variables (PGHOST, ...) only where one tunnel alone is for that client, and
    PAM_HOST, PAM_PORT only for a set of one: elsewhere they would be somebody's guess.
    """
    variables: dict[str, str] = {}
    for member in members:
        tunnel, prefix = member.tunnel, member.prefix
        if tunnel.unix:
            variables[f"{prefix}_SOCKET"] = tunnel.unix
            continue
        variables[f"{prefix}_HOST"] = tunnel.local_host
        variables[f"{prefix}_PORT"] = str(tunnel.local_port)
        variables[f"{prefix}_ADDRESS"] = local_address(tunnel)
        for port in tunnel.also:
            if port.remote_port:
                variables[f"{prefix}_PORT_{port.remote_port}"] = str(port.port)
    clients = Counter(client_program(member.tunnel, member.record) for member in members)
    for member in members:
        own = client_variables(member.tunnel, member.record, user=member.user)
        is_alone = clients[client_program(member.tunnel, member.record)] == 1
        for name, value in own.items():
            if len(members) == 1 or (is_alone and not name.startswith("PAM_")):
                variables.setdefault(name, value)
    return variables
