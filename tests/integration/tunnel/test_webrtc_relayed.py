"""WebRTC paths through real NATs and a real TURN relay (coturn with the configuration that we write)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from commander.backend.turn import Relays
from commander.codec import encode
from tests.integration.tunnel.remote_peer import RemotePeer, start_peer
from tests.support.nat_lab import PUBLIC_OF_LEFT, Nat, NatLab
from tests.support.servers.coturn import Coturn

pytestmark = pytest.mark.integration

SIZE = 512 * 1024


@pytest.fixture(scope="module", params=["preserving", "symmetric", "noudp"])
def nat(request: pytest.FixtureRequest) -> Nat:
    found: Nat = request.param
    return found


@pytest.fixture(scope="module")
def lab(nat: Nat) -> Iterator[NatLab]:
    with NatLab(nat) as lab:
        yield lab


@pytest.fixture(scope="module")
def relay(lab: NatLab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Coturn]:
    directory = tmp_path_factory.mktemp("relay")
    with Coturn(directory, PUBLIC_OF_LEFT, prefix=lab["public"].prefix) as relay:
        yield relay


class Ends:
    """Both ends, and what the server tells them of relays."""

    def __init__(self, client: RemotePeer, gateway: RemotePeer, ca: str) -> None:
        self.client, self.gateway, self._ca = client, gateway, ca

    def ice(self, relays: Relays, *, now: float | None = None) -> dict[str, Any]:
        """What goes into an order: an answer of its own for each end."""
        answer = relays.answer(now=int(time.time() if now is None else now))
        return {"ice": encode(answer).hex(), "ca": self._ca}

    async def connect(self, relays: Relays) -> tuple[dict[str, Any], float]:
        """Offer, answer, channel; the client's report and how long all of it took."""
        began = time.monotonic()
        offer = await self.client.do(do="offer", **self.ice(relays))
        answer = await self.gateway.do(do="accept", wire=offer["wire"], **self.ice(relays))
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


@pytest.fixture
async def ends(lab: NatLab, relay: Coturn) -> AsyncIterator[Ends]:
    async with ends_in(lab, relay) as ends:
        yield ends


ROUTES: dict[Nat, set[str]] = {
    # Which of two answers comes first decides what the address seen is called.
    "preserving": {"host-srflx", "srflx-srflx", "host-prflx", "srflx-prflx"},
    "symmetric": {"relay-relay"},
    "noudp": {"relay-relay"},
}


async def test_the_best_way_there_is_is_found(nat: Nat, ends: Ends, relay: Coturn) -> None:
    """Through NATs that keep ports the ends meet; through others, and without UDP, a relay carries."""
    report, seconds = await ends.connect(relay.relays("udp", "tcp", "tls"))
    await ends.transfer()

    assert report["route"] in ROUTES[nat]
    assert seconds < 15
    # Where UDP works, one relay is enough; it is asked for over TCP only when UDP is silent.
    assert ("srflx" in report["kinds"]) == (nat != "noudp")


async def test_turn_over_tls_carries_where_only_that_is_offered(ends: Ends, relay: Coturn) -> None:
    """The certificate is of the server's own authority, and verified."""
    report, _ = await ends.connect(relay.relays("tls", relay_only=True))
    await ends.transfer()

    assert report["route"] == "relay-relay"
    assert report["kinds"] == ["relay"]
