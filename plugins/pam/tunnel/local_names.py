"""
What the name of a natural endpoint is good for on this machine, said as it is.

RFC 6761 lets programs take every NAME.localhost for the loopback address without asking anybody.
Browsers and curl (from 7.85) do, and systemd-resolved does: they all mean 127.0.0.1 and ::1, never
another 127.x.y.z. Programs that ask the C library get what /etc/hosts says, and mostly nothing else.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket

_RESOLVE_S = 1.0


async def resolve_here(name: str) -> tuple[str, ...]:
    """What the C library of this machine says about a name; nothing when it does not know, or hangs."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(_RESOLVE_S):
            found = await loop.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError):
        return ()
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


def explain_name(
    name: str, address: str, port: int, *, resolved: tuple[str, ...], is_beside: bool
) -> list[tuple[str, str]]:
    """
    Lines that say where the name leads.

    `resolved` is what this machine's resolver says, `is_beside` whether the tunnel also has this
    port of 127.0.0.1.
    """
    hosts_line = f"{address} {name}"
    if address in resolved:
        lines = [("Name", f"{name}:{port} leads here for programs of this machine")]
        if is_beside:
            lines.append(("", "browsers and curl take it for 127.0.0.1, where this tunnel is too"))
        return lines
    if not is_beside:
        return [
            (
                "Name",
                f"{name} would lead browsers and curl to 127.0.0.1, where another program has port "
                f"{port}: use {address}",
            ),
            ("", f"for other programs add to /etc/hosts: {hosts_line}"),
        ]
    if any(ipaddress.ip_address(one).is_loopback for one in resolved):
        return [("Name", f"{name}:{port} works in browsers, curl and programs of this machine")]
    return [
        ("Name", f"{name}:{port} works in browsers and curl"),
        ("", f"for other programs add to /etc/hosts: {hosts_line}"),
    ]


def certificate_line(target: str, address: str, port: int, program: str) -> tuple[str, str] | None:
    """How a client checks the target's certificate by its own name, though it connects to us."""
    host = target.rpartition(":")[0].strip("[]")
    try:
        ipaddress.ip_address(host)
    except ValueError:
        pass
    else:
        return None
    match program:
        case "psql":
            words = f'psql "host={host} hostaddr={address} port={port} sslmode=verify-full"'
        case "curl":
            words = f"curl --connect-to {host}:{port}:{address}:{port} https://{host}:{port}/"
        case "ssh":
            words = f"ssh -o HostKeyAlias={host} -p {port} {address}"
        case _:
            words = f"add to /etc/hosts: {address} {host}"
    return f"As {host}", words
