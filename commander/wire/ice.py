"""
Addresses of STUN and TURN servers, in the one spelling that server, client and gateway read.

    stun:HOST[:PORT]    turn:HOST[:PORT][?transport=udp|tcp]    turns:HOST[:PORT]

`turns` is TURN over TLS over TCP. An IPv6 address stands in brackets.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final, Literal

from commander.errors import InvalidInput

MAX_URL: Final = 300
MAX_SERVERS: Final = 8
MAX_CREDENTIAL: Final = 128
_PORTS: Final = {"stun": 3478, "turn": 3478, "turns": 5349}
_URL: Final = re.compile(
    r"(?P<scheme>stun|turn|turns):"
    r"(?:\[(?P<v6>[0-9A-Fa-f:.]{2,45})\]|(?P<host>[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252})))"
    r"(?::(?P<port>[1-9][0-9]{0,4}))?(?:\?transport=(?P<transport>udp|tcp))?",
    re.ASCII,
)

Scheme = Literal["stun", "turn", "turns"]
Transport = Literal["udp", "tcp", "tls"]


@dataclass(frozen=True)
class IceUrl:
    """One server; `transport` is what its bytes travel over."""

    scheme: Scheme
    host: str
    port: int
    transport: Transport

    @property
    def is_turn(self) -> bool:
        """Whether it relays, and so wants a credential."""
        return self.scheme != "stun"

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        tail = "?transport=tcp" if self.transport != "udp" else ""
        return f"{self.scheme}:{host}:{self.port}{tail}"


def parse_ice_url(text: str) -> IceUrl:
    """
    Read one address. Raises InvalidInput.

    Addresses that belong to no server (multicast, unspecified, link-local: clouds keep
    credentials there) are refused, since whoever reads this will send packets to it.
    """
    match = _URL.fullmatch(text) if len(text) <= MAX_URL else None
    if match is None:
        raise InvalidInput(
            f"{text[:80]!r} is no STUN or TURN server",
            hint="write stun:HOST:PORT, turn:HOST:PORT?transport=udp|tcp or turns:HOST:PORT",
        )
    port = int(match["port"] or _PORTS[match["scheme"]])
    transport = match["transport"] or ("tcp" if match["scheme"] == "turns" else "udp")
    if port > 65535 or (match["scheme"], transport) in (("turns", "udp"), ("stun", "tcp")):
        raise InvalidInput(
            f"{text[:80]!r} names a port or a transport that there is not",
            hint="stun is UDP, turns is TLS over TCP, turn is either; ports end at 65535",
        )
    host = _checked_host(match["v6"] or match["host"], text, is_v6=bool(match["v6"]))
    scheme: Scheme = match["scheme"]  # type: ignore[assignment]  # the expression allows no other
    carried: Transport = "tls" if scheme == "turns" else transport  # type: ignore[assignment]  # as above
    return IceUrl(scheme, host, port, carried)


def _checked_host(host: str, text: str, *, is_v6: bool) -> str:
    try:
        address = ip_address(host)
    except ValueError:
        # What is all digits and points is an address that somebody mistyped.
        if is_v6 or re.fullmatch(r"[0-9.]+", host):
            raise InvalidInput(f"{text[:80]!r} names no address") from None
        return host.lower()
    if address.is_multicast or address.is_unspecified or address.is_link_local:
        raise InvalidInput(f"{text[:80]!r} names an address that no server has")
    return str(address)
