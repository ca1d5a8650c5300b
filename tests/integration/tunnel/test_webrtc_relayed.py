"""WebRTC paths through real NATs and a real TURN relay (coturn with the configuration that we write)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from commander.tunnel.transports.ice import DEFAULT_OPTIONS
from commander.tunnel.transports.webrtc_agent import STUN_WAIT_S
from tests.integration.tunnel.relayed_ends import Ends, ends_in
from tests.support.nat_lab import PUBLIC_OF_LEFT, Nat, NatLab
from tests.support.servers.coturn import Coturn

pytestmark = pytest.mark.integration


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


async def test_without_a_relay_the_outcome_is_clear_in_time(
    nat: Nat, ends: Ends, relay: Coturn
) -> None:
    """STUN alone connects through NATs that keep ports; elsewhere the failure is told within 15 s (B128)."""
    began = time.monotonic()
    told = {**ends.ice(relay.relays()), "timeout_s": 12.0 if nat == "preserving" else 2.0}
    offer = await ends.client.do(do="offer", **told)
    answer = await ends.gateway.do(do="accept", wire=offer["wire"], **told)
    report: dict[str, Any]
    report, _ = await asyncio.gather(
        ends.client.do(may_fail=True, do="complete", wire=answer["wire"]),
        ends.gateway.do(may_fail=True, do="connected"),
    )

    assert DEFAULT_OPTIONS.connect_timeout_s + STUN_WAIT_S < 15
    assert time.monotonic() - began < 15
    if nat == "preserving":
        assert report["route"] in ROUTES[nat]
    else:
        assert report["code"] == "timed-out"
        assert report["hint"] == "UDP may be blocked: --path relay"


async def test_the_best_way_there_is_is_found(nat: Nat, ends: Ends, relay: Coturn) -> None:
    """Through NATs that keep ports the ends meet; through others, and without UDP, a relay carries."""
    report, seconds = await ends.connect(relay.relays("udp", "tcp", "tls"))
    await ends.transfer()

    assert report["route"] in ROUTES[nat]
    # 15 s at most where nothing else runs; what ends it is the deadline of the path itself.
    assert seconds < 30
    # Where UDP works, one relay is enough; it is asked for over TCP only when UDP is silent.
    assert ("srflx" in report["kinds"]) == (nat != "noudp")


async def test_the_native_library_goes_the_same_ways(nat: Nat, ends: Ends, relay: Coturn) -> None:
    """At one end here, with aiortc at the other: through NATs, and by TURN over UDP and TCP."""
    relays = relay.relays("udp", "tcp", relay_only=nat != "preserving")

    report, _ = await ends.connect(relays, libraries=("wrtc", "aiortc"))
    await ends.transfer()

    # It learns the other end's relay from a check before it looks at what it was told.
    assert report["route"] in ROUTES[nat] | {"relay-prflx"}
    assert (report["route"][:5] == "relay") == (nat != "preserving")


async def test_turn_over_tls_carries_where_only_that_is_offered(ends: Ends, relay: Coturn) -> None:
    """The certificate is of the server's own authority, and verified."""
    report, _ = await ends.connect(relay.relays("tls", relay_only=True))
    await ends.transfer()

    assert report["route"] == "relay-relay"
    assert report["kinds"] == ["relay"]
