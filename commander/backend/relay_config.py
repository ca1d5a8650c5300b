"""
The configuration of a coturn that serves this server's users and nobody else. Pure.

The relay is closed: a TURN server passes packets to any address that its users name, and so
is a way into the network it stands in. Ours may pass packets to its own relay address alone,
which is where the other end's relay is. So both ends need a relay, and nothing else is reached.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from commander.backend.turn import CREDENTIAL_LIFE_S
from commander.errors import InvalidInput
from commander.secret import Secret

USER_QUOTA: Final = 8
"""Relays at once of one credential; one attempt at a path takes up to three."""
_EVERYTHING: Final = ("0.0.0.0-255.255.255.255", "::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")


@dataclass(frozen=True)
class RelayPlan:
    """
    What the owner of a relay decides.

    `relay_address` is where others reach it, `local_address` the machine's own address where
    that differs (behind a provider's NAT). `max_relays` is for all users together; `mbit_s`
    bounds one relay in one direction.
    """

    realm: str
    relay_address: str
    secret: Secret = field(repr=False)
    certificate: Path
    key: Path
    pid_file: Path
    local_address: str = ""
    port: int = 3478
    tls_port: int = 5349
    first_port: int = 49152
    last_port: int = 65535
    max_relays: int = 1200
    mbit_s: int = 200

    def __post_init__(self) -> None:
        for text in (self.relay_address, self.local_address or self.relay_address):
            _check_address(text)
        if not self.first_port < self.last_port < 65536 or self.first_port < 1024:
            raise InvalidInput(
                f"relay ports {self.first_port} to {self.last_port} are no range from 1024 to 65535"
            )
        if self.port == self.tls_port:
            raise InvalidInput(f"port {self.port} cannot serve TURN and TURN over TLS")


def write_config(plan: RelayPlan) -> str:
    """The whole file; it holds the secret, so it must be 0600."""
    local = plan.local_address or plan.relay_address
    lines = [
        "# Made by commander-server relay-config; this file holds the secret.",
        f"realm={plan.realm}",
        f"listening-ip={local}",
        f"relay-ip={local}",
        f"listening-port={plan.port}",
        f"tls-listening-port={plan.tls_port}",
        f"min-port={plan.first_port}",
        f"max-port={plan.last_port}",
    ]
    if local != plan.relay_address:
        lines.append(f"external-ip={plan.relay_address}/{local}")
    lines += [
        "# Credentials are made by Commander's server, each for one attempt at a path.",
        "use-auth-secret",
        f"static-auth-secret={plan.secret.reveal_text()}",
        f"stale-nonce={CREDENTIAL_LIFE_S}",
        "fingerprint",
        f"user-quota={USER_QUOTA}",
        f"total-quota={plan.max_relays}",
        f"max-bps={plan.mbit_s * 125_000}",
        # No bps-capacity: coturn reserves max-bps of it for each relay, so that five would fill it.
        "# A closed relay: the only peer is another relay of this server.",
        *(f"denied-peer-ip={network}" for network in _EVERYTHING),
        *(f"allowed-peer-ip={text}" for text in dict.fromkeys((plan.relay_address, local))),
        "no-multicast-peers",
        "no-tcp-relay",
        "# TLS",
        f"cert={plan.certificate}",
        f"pkey={plan.key}",
        "no-tlsv1",
        "no-tlsv1_1",
        "no-dtls",
        "# Nothing that this relay does not need.",
        "no-cli",
        "no-rfc5780",
        "no-stun-backward-compatibility",
        "response-origin-only-with-rfc5780",
        "no-software-attribute",
        "no-dynamic-ip-list",
        "no-dynamic-realms",
        f"pidfile={plan.pid_file}",
        "log-file=stdout",
        "simple-log",
    ]
    if ip_address(local).is_loopback:
        lines.append("allow-loopback-peers")
    return "\n".join([*lines, ""])


def _check_address(text: str) -> None:
    try:
        address = ip_address(text)
    except ValueError:
        raise InvalidInput(
            f"{text[:80]!r} is no IP address", hint="coturn takes addresses, not names"
        ) from None
    if address.version != 4:
        # Clients and gateways ask for relays without naming a family, which means IPv4.
        raise InvalidInput(f"{text} is an IPv6 address; relays are IPv4")
    if address.is_unspecified or address.is_multicast or address.is_link_local:
        raise InvalidInput(f"{text} is no address of a server")
