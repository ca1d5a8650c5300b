"""What a relay does for strangers, for its own users, and when it goes away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.integration.tunnel.relayed_ends import Ends, ends_in
from tests.support.nat_lab import PUBLIC_OF_LEFT, PUBLIC_OF_RIGHT, NatLab
from tests.support.servers.coturn import Coturn

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def lab() -> Iterator[NatLab]:
    with NatLab("symmetric") as lab:
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


async def test_the_relay_passes_packets_to_itself_alone(ends: Ends, relay: Coturn) -> None:
    """No user can make it reach its own services, its network, or a cloud's credentials (B127)."""
    denied = [
        "127.0.0.1", "10.0.0.5", "10.91.1.2", PUBLIC_OF_RIGHT, "169.254.169.254", "192.168.11.2",
        "172.17.0.1", "100.64.0.1", "8.8.8.8", "224.0.0.1", "0.0.0.0", "255.255.255.255",
    ]  # fmt: skip
    ice = ends.ice(relay.relays("udp", stun=False))

    peers = [(host, 4000) for host in (*denied, PUBLIC_OF_LEFT)]
    told = await ends.client.do(do="bind", peers=peers, **ice)

    assert told["relayed"] == PUBLIC_OF_LEFT
    assert {host: told["codes"][host] for host in denied} == dict.fromkeys(denied, 403)
    # The control: where the other end's relay is.
    assert told["codes"][PUBLIC_OF_LEFT] == 200


async def test_the_relay_passes_nothing_to_ipv6_in_any_disguise(ends: Ends, relay: Coturn) -> None:
    """Neither loopback nor addresses of IPv4 written as IPv6; what it is told counts as refused (B127)."""
    denied = ["::1", "::ffff:127.0.0.1", "::ffff:10.0.0.5", "fe80::1", "2001:db8::1", "::"]
    ice = ends.ice(relay.relays("udp", stun=False))

    told = await ends.client.do(do="bind", peers=[(host, 4000) for host in denied], **ice)

    # 443: the address is of another family than the relay's (RFC 8656).
    assert set(told["codes"].values()) <= {403, 443}


@pytest.mark.parametrize("fault", ["expired", "wrong secret"])
async def test_a_credential_that_is_none_gives_no_relay(
    ends: Ends, relay: Coturn, fault: str
) -> None:
    """No candidate, and where only a relay would do the reason is told; a good one works after it."""
    relays = relay.relays("udp", "tcp", relay_only=True)
    bad = ends.ice(
        relay.wrong(relays) if fault == "wrong secret" else relays,
        now=time.time() - (0 if fault == "wrong secret" else 3600),
    )

    refused = await ends.client.do(may_fail=True, do="offer", **bad)

    assert refused["code"] == "unreachable"
    assert "does not take the credential" in refused["error"]
    offer = await ends.client.do(do="offer", **ends.ice(relays))
    assert offer["kinds"] == ["relay"]


async def test_a_relay_that_restarts_is_a_lost_path_and_the_next_one_works(
    ends: Ends, relay: Coturn
) -> None:
    """Both ends hear of it at once over TCP; nothing hangs, and a new path comes up (B126)."""
    relays = relay.relays("tcp", relay_only=True)
    await ends.connect(relays)
    await ends.transfer()

    relay.stop()
    one, other = await asyncio.gather(ends.client.do(do="lost"), ends.gateway.do(do="lost"))
    relay.start()
    await asyncio.gather(ends.client.do(do="forget"), ends.gateway.do(do="forget"))
    report, _ = await ends.connect(relays)
    await ends.transfer()

    # The bound ends a hang; it is no measurement.
    assert max(one["seconds"], other["seconds"]) < 20
    assert not one["gone"]
    assert not other["gone"]
    assert report["route"] == "relay-relay"


async def test_closing_is_bounded_though_the_relay_is_silent(ends: Ends, relay: Coturn) -> None:
    """Neither end waits for a relay that nobody can reach to take its allocation back."""
    await ends.connect(relay.relays("udp", relay_only=True))
    relay.stop()

    closed = await ends.client.do(do="close")

    relay.start()
    # The bound ends a hang; it is no measurement.
    assert closed["seconds"] < 20
