"""Which addresses this host has, and what identifies it to a process beside us."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
from pathlib import Path
from typing import Final

import ifaddr

from commander.tunnel.addresses import Address, special_kind, unwrap

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_NETWORK: Final = Path("/proc/self/ns/net")
# Addresses for documentation (RFC 5737, RFC 3849): routed like any other, and nobody is there.
# Nothing is sent: connecting a datagram socket only asks the kernel for a route.
_ANYWHERE: Final = (
    (socket.AF_INET, "192.0.2.1"),
    (socket.AF_INET6, "2001:db8::1"),
)


def host_identity() -> bytes:
    """
    What two processes share exactly when loopback of one is loopback of the other; empty if unknown.

    The boot's random id and the network namespace: containers of one host share the first only.
    """
    try:
        network = os.stat(_NETWORK)
        boot = _BOOT_ID.read_bytes()[:64]
    except OSError:
        return b""
    return boot.strip() + f"/{network.st_dev}/{network.st_ino}".encode()


def own_addresses() -> list[str]:
    """Addresses at which others may reach this host, those with a way outside first."""
    found = [*_routed(), *_of_interfaces()]
    return [str(one) for one in dict.fromkeys(found) if not special_kind(unwrap(one))]


def _routed() -> list[Address]:
    found: list[Address] = []
    for family, anywhere in _ANYWHERE:
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((anywhere, 9))
            found.append(ipaddress.ip_address(probe.getsockname()[0].partition("%")[0]))
    return found


def _of_interfaces() -> list[Address]:
    found: list[Address] = []
    try:
        adapters = list(ifaddr.get_adapters())
    except OSError:
        # Without the list those with a route are named still.
        return found
    for adapter in adapters:
        for entry in adapter.ips:
            # IPv6 entries are (address, flow, scope).
            text = entry.ip if isinstance(entry.ip, str) else entry.ip[0]
            with contextlib.suppress(ValueError):
                found.append(ipaddress.ip_address(text.partition("%")[0]))
    return found
