"""
Where a tunnel may lead: the record's own host and port, or the command's where the record lets it.

    name or address -> syntax -> resolved once per connection -> every address checked -> connect
    to exactly that address

Loopback, link-local, cloud metadata, unspecified, multicast and reserved addresses are
refused unless the owner of the gateway allowed them with `--allow-target CIDR[:PORTS]`.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from commander.authority.refusals import Code
from commander.codec import decode
from commander.errors import InvalidInput, Refused, UsageError
from commander.gateway.limits import (
    CONNECT_S,
    MAX_ADDRESSES,
    MAX_META_BYTES,
    RESOLVE_S,
    RESOLVERS,
)
from commander.tunnel.addresses import Address, special_kind, unwrap
from commander.tunnel.codes import ResetCode, StreamRefused
from commander.tunnel.target import MakeProtocol, connect_address, refusal_of
from commander.wire.commands import StreamMeta

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolve = Callable[[str, int], Awaitable[list[str]]]

_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\Z", re.ASCII)
_NUMERIC = re.compile(r"(?:0[xX][0-9A-Fa-f]*|[0-9]+)\Z", re.ASCII)


@dataclass(frozen=True)
class Allowance:
    """What `--allow-target` opens: a network, and some ports of it (empty: all)."""

    network: Network
    ports: tuple[tuple[int, int], ...] = ()

    def covers(self, address: Address, port: int) -> bool:
        """Tell whether an address and port are allowed by it."""
        if address.version != self.network.version or address not in self.network:
            return False
        return not self.ports or any(low <= port <= high for low, high in self.ports)


def parse_allowance(text: str) -> Allowance:
    """
    Read `CIDR` or `CIDR:PORTS`, ports as `22`, `8000-8100` or a list with commas; an IPv6 network
    with ports stands in brackets. Raises UsageError.
    """
    bracketed = re.fullmatch(r"\[([^\]]*)\](?::(.*))?", text)
    if bracketed:
        network, ports = bracketed[1], bracketed[2]
    elif text.count(":") == 1:
        network, _, ports = text.partition(":")
    else:
        network, ports = text, None
    try:
        return Allowance(ipaddress.ip_network(network), _parse_ports(ports))
    except ValueError as error:
        raise UsageError(
            f"--allow-target {text!r}: {error}",
            hint="write 127.0.0.1/32, 10.0.0.0/8:22,5432 or [::1/128]:22",
        ) from None


def _parse_ports(text: str | None) -> tuple[tuple[int, int], ...]:
    if text is None:
        return ()
    ranges = []
    for part in text.split(","):
        low, _, high = part.partition("-")
        if not all(
            word.isascii() and word.isdigit() and len(word) <= 5 for word in (low, high or low)
        ):
            raise ValueError(f"{part!r} is not a port or range")
        first, last = int(low), int(high or low)
        if not 1 <= first <= last <= 65535:
            raise ValueError(f"{part!r} is not a port or range")
        ranges.append((first, last))
    return tuple(ranges)


@dataclass(frozen=True)
class Target:
    """A host in normal form and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def choose_target(
    *, record: tuple[str, int], tunnel_port: int, asked: tuple[str, int], may_supply: bool
) -> Target:
    """
    Decide host and port from the record, its tunnel settings and the command.

    What the command repeats of the record is no override. Raises
    Refused(target-override-not-allowed, target-invalid).
    """
    own_host, own_port = record[0], tunnel_port or record[1]
    host, port = asked[0] or own_host, asked[1] or own_port
    if not may_supply and (host, port) != (own_host, own_port):
        raise Refused(
            "the record does not let the command choose host or port", code=Code.TARGET_OVERRIDE
        )
    if not 1 <= port <= 65535:
        raise _invalid("no port is known for this record")
    return Target(normal_host(host), port)


def normal_host(text: str) -> str:
    """
    Bring a host into the one form that is checked and connected. Raises Refused(target-invalid).

    Names are ASCII letters, digits, `-`, `_` and dots, lower case, without a trailing dot. A name
    whose last part is a number is read as an address by some resolvers, so it has to be a plain one.
    """
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if not bare or len(bare) > 253:
        raise _invalid("the host is empty or longer than 253 characters")
    if "%" in bare:
        raise _invalid(f"host {text[:60]!r} has a zone or an escape")
    try:
        return str(ipaddress.ip_address(bare))
    except ValueError:
        pass
    labels = bare.removesuffix(".").lower().split(".")
    if bare != text or not all(_LABEL.match(label) for label in labels):
        raise _invalid(f"host {text[:60]!r} is neither a name nor an address")
    if _NUMERIC.match(labels[-1]):
        raise _invalid(f"host {text[:60]!r} is an address in an unusual form")
    return ".".join(labels)


def _invalid(reason: str) -> Refused:
    return Refused(reason, code=Code.TARGET_INVALID, hint="correct the host in the record")


class TargetRule:
    """Which addresses may be connected: all but the special ones that the owner did not allow."""

    def __init__(self, allowances: Sequence[Allowance] = ()) -> None:
        self._allowances = tuple(allowances)

    def reason_against(self, text: str, port: int) -> str:
        """Why an address may not be connected, or ""; the address in any form Python reads."""
        address = unwrap(ipaddress.ip_address(text.partition("%")[0]))
        if any(allowance.covers(address, port) for allowance in self._allowances):
            return ""
        what = special_kind(address)
        return f"{address} is {what}" if what else ""


# Threads of their own: names that hang must not take those by which the audit log is written.
_resolvers = ThreadPoolExecutor(RESOLVERS, thread_name_prefix="resolve")


async def resolve_name(host: str, port: int) -> list[str]:
    """Ask the machine's resolver. Raises OSError, TimeoutError."""
    ask = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    async with asyncio.timeout(RESOLVE_S):
        found = await asyncio.get_running_loop().run_in_executor(_resolvers, ask)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))[:MAX_ADDRESSES]


class TargetConnector:
    """Connects one tunnel's target for each of its streams; fits `tunnel.target.Connect`."""

    def __init__(
        self,
        target: Target,
        rule: TargetRule,
        *,
        further_ports: frozenset[int] = frozenset(),
        resolve: Resolve = resolve_name,
        deadline_s: float = CONNECT_S,
    ) -> None:
        self.target = target
        self._further_ports = further_ports
        self._rule = rule
        self._resolve = resolve
        self._deadline_s = deadline_s

    async def check_now(self) -> None:
        """
        Refuse a target that can't ever be connected, before a tunnel is opened.

        A name that does not resolve now is left to the streams. Raises Refused(target-forbidden).
        """
        try:
            addresses = await self._addresses()
        except OSError:
            return
        if addresses and not self._allowed(addresses, self.target.port):
            reason = self._rule.reason_against(addresses[0], self.target.port)
            raise Refused(
                f"target {self.target}: {reason}",
                code=Code.TARGET_FORBIDDEN,
                hint="the gateway's owner can allow it with --allow-target",
            )

    async def __call__(self, meta: bytes, make_protocol: MakeProtocol) -> None:
        """Resolve, check, and connect to an address that was checked. Raises StreamRefused, OSError."""
        port = self._port_of(meta)
        try:
            async with asyncio.timeout(self._deadline_s):
                await self._connect(port, make_protocol)
        except OSError as error:
            raise refusal_of(error) from error

    def _port_of(self, meta: bytes) -> int:
        """The port that a stream asks for, if the record names it; without a word the tunnel's own."""
        try:
            said = decode(StreamMeta, meta, limit=MAX_META_BYTES)
        except InvalidInput:
            return self.target.port
        if said.turned_away:
            raise StreamRefused(ResetCode.NOT_ALLOWED, "noted for the audit log")
        port = said.port
        if port in (0, self.target.port):
            return self.target.port
        if port not in self._further_ports:
            raise StreamRefused(ResetCode.NOT_ALLOWED, f"the record does not name port {port}")
        return port

    async def _connect(self, port: int, make_protocol: MakeProtocol) -> None:
        allowed = self._allowed(await self._addresses(), port)
        if not allowed:
            raise StreamRefused(ResetCode.NOT_ALLOWED, "the gateway's rules forbid this address")
        for left in range(len(allowed), 0, -1):
            try:
                # A dead address leaves time for those after it.
                async with asyncio.timeout(self._deadline_s / left if left > 1 else None):
                    await connect_address(allowed[-left], port, make_protocol)
            except OSError:
                if left == 1:
                    raise
            else:
                return

    async def _addresses(self) -> list[str]:
        try:
            ipaddress.ip_address(self.target.host)
        except ValueError:
            return await self._resolve(self.target.host, self.target.port)
        return [self.target.host]

    def _allowed(self, addresses: list[str], port: int) -> list[str]:
        return [text for text in addresses if not self._rule.reason_against(text, port)]
