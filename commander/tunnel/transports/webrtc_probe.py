"""Whether STUN and TURN servers do what they are there for, one by one: for people who look for a fault."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from commander.tasks import spawn
from commander.tunnel.transports.ice import IceServer, WebRtcOptions
from commander.tunnel.transports.webrtc_agent import GuardedConnection
from commander.tunnel.transports.webrtc_guards import install_guards

CLOSE_S: Final = 3.0


@dataclass(frozen=True)
class ServerReport:
    """
    What one server did: `found` is the address it saw or relays from, else `reason` tells why not.

    `seconds` is the whole exchange: one round trip for STUN; TURN takes two, over TCP three and
    over TLS four or five.
    """

    url: str
    is_working: bool
    seconds: float
    found: str
    reason: str


async def probe_servers(options: WebRtcOptions) -> tuple[ServerReport, ...]:
    """
    Ask every server once, all at the same time; takes seconds at most and leaves nothing behind.

    Raises CommanderError when the libraries are not ones we guard.
    """
    install_guards()
    probes = [spawn(_probe(server, options), name="webrtc-probe") for server in options.ice_servers]
    return tuple(await asyncio.gather(*probes))


async def _probe(server: IceServer, options: WebRtcOptions) -> ServerReport:
    agent = GuardedConnection(ice_controlling=True)
    agent.options = replace(options, ice_servers=(server,))
    wanted = "relay" if server.url.is_turn else "srflx"
    # For a relay the machine's own addresses do not matter, and need no sockets.
    agent.choose_addresses = _no_address if server.url.is_turn else options.choose_addresses
    began = time.monotonic()
    try:
        await agent.gather_candidates()
        seconds = time.monotonic() - began
        found = [item.host for item in agent.local_candidates if item.type == wanted]
    finally:
        async with asyncio.timeout(CLOSE_S):
            await agent.close()
    reason = "" if found else agent.refused or "no answer; UDP may be blocked"
    return ServerReport(str(server.url), bool(found), seconds, "".join(found[:1]), reason)


def _no_address(addresses: Sequence[str]) -> Sequence[str]:
    return []
