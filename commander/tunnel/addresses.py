"""
What kind of address one is: the special ones are connected for nobody who merely names them. Pure.

Records name targets and clients name candidates of direct paths; both could lead a gateway to
its own services, to a cloud's metadata, or to neighbours that only it can see.
"""

from __future__ import annotations

import ipaddress
from typing import Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Addresses at which clouds hand out credentials to whoever asks from inside.
_METADATA: Final = frozenset(
    ipaddress.ip_address(text)
    for text in ("169.254.169.254", "fd00:ec2::254", "100.100.100.200", "192.0.0.192", "168.63.129.16")
)  # fmt: skip
# Prefixes that carry an IPv4 address inside: what is forbidden stays so in this dress.
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_COMPATIBLE: Final = ipaddress.IPv6Network("::/96")


def unwrap(address: Address) -> Address:
    """The IPv4 address inside an IPv6 one, where there is one."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    inner = address.ipv4_mapped or address.sixtofour
    if inner is not None:
        return inner
    if address in _NAT64 or (address in _COMPATIBLE and int(address) > 1):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def special_kind(address: Address) -> str:
    """What makes an unwrapped address one that nobody may name, or ""."""
    if address in _METADATA:
        return "a cloud's metadata service"
    kinds = {
        "the unspecified address": address.is_unspecified,
        "a loopback address": address.is_loopback,
        "a link-local address": address.is_link_local,
        "a multicast address": address.is_multicast,
        "a reserved address": address.is_reserved or _is_zero_network(address),
    }
    return next((name for name, holds in kinds.items() if holds), "")


def _is_zero_network(address: Address) -> bool:
    # Linux connects 0.x.y.z to nothing useful, but 0.0.0.0/8 reaches this host on some systems.
    return address.version == 4 and int(address) >> 24 == 0
