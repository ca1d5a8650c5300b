"""How a WebRTC path is looked for, whichever library looks: servers, candidates, deadlines. No library here."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from commander.errors import CommanderError, InvalidInput, Unreachable
from commander.secret import Secret
from commander.tunnel.path import KIND_TURN, KIND_WEBRTC
from commander.tunnel.transports.sdp import HOST_ONLY, CandidateRules
from commander.wire.calls import IceAnswer, IceServerRow
from commander.wire.ice import MAX_CREDENTIAL, MAX_SERVERS, IceUrl, parse_ice_url

AddressChoice = Callable[[Sequence[str]], Sequence[str]]
AskServer = Callable[[], Awaitable[IceAnswer]]
"""Makes the call `ice`. Raises CommanderError."""
ASK_S: Final = 5.0

ALL_KINDS: Final = CandidateRules(kinds=frozenset({"host", "srflx", "relay"}))
RELAY_ONLY: Final = CandidateRules(kinds=frozenset({"relay"}))


def no_loopback(addresses: Sequence[str]) -> Sequence[str]:
    """Offer every address that the machine has for others; the default choice."""
    return [address for address in addresses if not address.startswith("127.")]


@dataclass(frozen=True)
class IceServer:
    """A STUN or TURN server; credentials are those of one attempt at a path."""

    url: IceUrl
    username: str = ""
    password: Secret | None = None


@dataclass(frozen=True)
class WebRtcOptions:
    """
    How a WebRTC path is looked for.

    `choose_addresses` gets the machine's addresses and returns those that may be offered;
    `rules` says which candidates of either side may be used; `ice_servers` is empty where
    only host candidates are wanted. `relay_only` shows the peer no address of ours. `tls`
    verifies TURN servers over TLS; None trusts the machine's authorities.
    `connect_timeout_s` counts from `complete` or `accept`. `kind` is what people are shown.
    """

    ice_servers: tuple[IceServer, ...] = ()
    relay_only: bool = False
    rules: CandidateRules = HOST_ONLY
    choose_addresses: AddressChoice = field(default=no_loopback)
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    connect_timeout_s: float = 12.0
    kind: str = KIND_WEBRTC


DEFAULT_OPTIONS: Final = WebRtcOptions()


def ice_options(
    answer: IceAnswer, *, relay_only: bool = False, tls: ssl.SSLContext | None = None
) -> WebRtcOptions:
    """
    What a server's answer means for one attempt.

    The server is not trusted: its answer is checked as any stranger's. It may ask for relays
    only, and cannot lift that where record or user asked for it. Raises InvalidInput.
    """
    if len(answer.servers) > MAX_SERVERS:
        raise InvalidInput(f"{len(answer.servers)} STUN and TURN servers; {MAX_SERVERS} at most")
    servers = tuple(_server(row) for row in answer.servers)
    is_relay_only = relay_only or answer.relay_only
    if is_relay_only and not any(server.url.is_turn for server in servers):
        raise InvalidInput(
            "the server names no TURN relay, and only a relay may be used",
            hint="commander-server start --turn-url …, or another --path",
        )
    rules = RELAY_ONLY if is_relay_only else ALL_KINDS
    kind = KIND_TURN if relay_only else KIND_WEBRTC
    return WebRtcOptions(servers, is_relay_only, rules, tls=tls, kind=kind)


async def no_servers() -> IceAnswer:
    """The answer of a server that has no relays: the addresses of both ends are all there is."""
    return IceAnswer((), relay_only=False, expires=0)


async def find_options(
    ask: AskServer, *, relay_only: bool, tls: ssl.SSLContext | None
) -> WebRtcOptions:
    """
    Ask the server and say how to look for a path.

    Raises Unreachable when it gives no usable answer: without one nobody knows whether our
    addresses may be shown.
    """
    try:
        async with asyncio.timeout(ASK_S):
            answer = await ask()
        return ice_options(answer, relay_only=relay_only, tls=tls)
    except TimeoutError:
        raise Unreachable(f"no WebRTC path: the server named no relays in {ASK_S:g} s") from None
    except CommanderError as error:
        raise Unreachable(f"no WebRTC path: {error.message}", hint=error.hint) from error


def _server(row: IceServerRow) -> IceServer:
    url = parse_ice_url(row.url)
    for text in (row.username, row.password):
        if len(text) > MAX_CREDENTIAL or not (text.isascii() and text.isprintable()):
            raise InvalidInput("a TURN credential is too long or not plain text")
    if not url.is_turn:
        return IceServer(url)
    if not row.username or not row.password:
        raise InvalidInput(f"TURN server {url} comes without a credential")
    return IceServer(url, row.username, Secret(row.password))
