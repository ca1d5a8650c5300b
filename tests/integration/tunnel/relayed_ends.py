"""Two peers behind NATs, and what a server would tell each of them of relays."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from commander.backend.turn import Relays
from commander.codec import encode
from tests.integration.tunnel.remote_peer import RemotePeer, start_peer
from tests.support.nat_lab import NatLab
from tests.support.servers.coturn import Coturn

SIZE = 512 * 1024


class Ends:
    """Both ends, and what the server tells them of relays."""

    def __init__(self, client: RemotePeer, gateway: RemotePeer, ca: str) -> None:
        self.client, self.gateway, self._ca = client, gateway, ca

    def ice(self, relays: Relays, *, now: float | None = None) -> dict[str, Any]:
        """What goes into an order: an answer of its own for each end."""
        answer = relays.answer(now=int(time.time() if now is None else now))
        return {"ice": encode(answer).hex(), "ca": self._ca}

    async def connect(
        self, relays: Relays, *, libraries: tuple[str, str] = ("", "")
    ) -> tuple[dict[str, Any], float]:
        """Offer, answer, channel; the client's report and how long all of it took."""
        began = time.monotonic()
        offer = await self.client.do(do="offer", library=libraries[0], **self.ice(relays))
        answer = await self.gateway.do(
            do="accept", wire=offer["wire"], library=libraries[1], **self.ice(relays)
        )
        report: dict[str, Any]
        report, _ = await asyncio.gather(
            self.client.do(do="complete", wire=answer["wire"]), self.gateway.do(do="connected")
        )
        return {**report, "kinds": offer["kinds"]}, time.monotonic() - began

    async def transfer(self) -> None:
        """Half a MiB both ways, digests compared."""
        one, other = await asyncio.gather(
            self.client.do(do="transfer", bytes=SIZE), self.gateway.do(do="transfer", bytes=SIZE)
        )
        assert (one["sent"], other["sent"]) == (other["received"], one["received"])


@asynccontextmanager
async def ends_in(lab: NatLab, relay: Coturn) -> AsyncIterator[Ends]:
    client, gateway = await asyncio.gather(start_peer(lab["left"]), start_peer(lab["right"]))
    try:
        yield Ends(client, gateway, relay.ca_pem)
    finally:
        await asyncio.gather(client.end(), gateway.end())
