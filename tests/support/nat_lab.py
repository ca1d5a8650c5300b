"""
Two hosts behind NATs of their own and a public host between them, as scripts/tools/nat_lab.sh draws it.

    left 192.168.11.2 -- NAT 10.91.1.2 -- public 10.91.1.1, 10.91.2.1 -- NAT 10.91.2.2 -- right 192.168.12.2

Each lab has names of its own, so that several run at once; needs root, iproute2 and nftables.
"""

from __future__ import annotations

from typing import Final, Literal

from tests.support.namespaces import Hosts, run_checked

Nat = Literal["preserving", "symmetric", "noudp"]
PUBLIC_OF_LEFT: Final = "10.91.1.1"
PUBLIC_OF_RIGHT: Final = "10.91.2.1"
_NAMES: Final = {"left": "192.168.11.2", "leftnat": "10.91.1.2", "public": PUBLIC_OF_LEFT,
                 "rightnat": "10.91.2.2", "right": "192.168.12.2"}  # fmt: skip
_LINKS: Final = (
    ("left", "eth0", "192.168.11.2/24", "leftnat", "lan0", "192.168.11.1/24"),
    ("right", "eth0", "192.168.12.2/24", "rightnat", "lan0", "192.168.12.1/24"),
    ("leftnat", "wan0", "10.91.1.2/24", "public", "eth1", "10.91.1.1/24"),
    ("rightnat", "wan0", "10.91.2.2/24", "public", "eth2", "10.91.2.1/24"),
)
_ROUTES: Final = (
    ("left", "192.168.11.1"), ("right", "192.168.12.1"), ("leftnat", PUBLIC_OF_LEFT),
    # coturn gives a relay up on ENETUNREACH, so the public host has a way out as well.
    ("rightnat", PUBLIC_OF_RIGHT), ("public", "10.91.1.2"),
)  # fmt: skip
# A stray packet to a NAT's own port would make an entry that breaks hole punching: new ones are dropped.
_RULES: Final = """
table ip nat {{
  chain post {{ type nat hook postrouting priority 100; oifname wan0 masquerade {ports}; }}
  chain forward {{ type filter hook forward priority 0; policy accept; iifname wan0 ct state new drop; {extra} }}
  chain in {{ type filter hook input priority 0; iifname wan0 ct state new drop; }}
}}
"""


class NatLab(Hosts):
    """
    The five hosts; `preserving` NATs let hole punching through, `symmetric` ones only a relay,
    `noudp` drops UDP at both.
    """

    def __init__(self, nat: Nat) -> None:
        super().__init__(_NAMES)
        self._nat = nat

    def _build(self) -> None:
        for host in self._hosts.values():
            run_checked("ip", "netns", "add", host.namespace)
            host.ip("link", "set", "dev", "lo", "up")
        for left, device, address, right, far_device, far_address in _LINKS:
            one, other = self._hosts[left], self._hosts[right]
            run_checked(
                "ip", "link", "add", device, "netns", one.namespace,
                "type", "veth", "peer", "name", far_device, "netns", other.namespace,
            )  # fmt: skip
            for host, name, given in ((one, device, address), (other, far_device, far_address)):
                host.ip("addr", "add", given, "dev", name)
                host.ip("link", "set", "dev", name, "up")
        for name, gateway in _ROUTES:
            self._hosts[name].ip("route", "add", "default", "via", gateway)
        rules = _RULES.format(
            ports="random" if self._nat == "symmetric" else "",
            extra="ip protocol udp drop;" if self._nat == "noudp" else "",
        )
        for name in ("leftnat", "public", "rightnat"):
            self._hosts[name].run("sysctl", "-qw", "net.ipv4.ip_forward=1")
        for name in ("leftnat", "rightnat"):
            self._hosts[name].nft(rules)
