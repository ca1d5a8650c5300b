"""What the gateway does with a WebRTC offer before any packet is sent."""

from __future__ import annotations

import pytest

from commander.authority.refusals import Code
from commander.backend.turn import Relays
from commander.errors import Refused
from commander.gateway.webrtc import prepare_webrtc
from commander.secret import Secret
from commander.tunnel.transports import sdp
from commander.tunnel.transports.ice import no_servers
from commander.wire.calls import IceAnswer
from commander.wire.ice import parse_ice_url

pytestmark = pytest.mark.integration


def offer_of(kind: sdp.CandidateKind) -> bytes:
    """An offer with one candidate, at an address of documentation that nobody has."""
    candidate = sdp.Candidate(kind, bytes([192, 0, 2, 7]), 4000, 1)
    return sdp.SessionDescription(
        1, "actpass", "abcd", "p" * 22, bytes(32), 65536, 5000, (candidate,)
    ).to_wire()


async def closed_relay() -> IceAnswer:
    relays = Relays((parse_ice_url("turn:127.0.0.1:9?transport=tcp"),), Secret("0123456789abcdef"))
    return relays.answer(now=1)


async def test_an_offer_is_answered_and_given_up_cleanly() -> None:
    """The control: this machine's addresses are the answer."""
    plan = await prepare_webrtc("webrtc", offer_of("srflx"), no_servers, None)

    answer = sdp.from_wire(plan.answer)
    assert answer.kind == "answer"
    await plan.close()
    await plan.close()


@pytest.mark.parametrize("offer", [b"", b"nonsense", offer_of("host")[:-1]])
async def test_a_broken_offer_is_refused_with_its_code(offer: bytes) -> None:
    """One code for all of it (B111)."""
    with pytest.raises(Refused) as caught:
        await prepare_webrtc("webrtc", offer, no_servers, None)

    assert caught.value.code == Code.OFFER_BROKEN


@pytest.mark.parametrize("kind", ["host", "srflx"])
async def test_relay_only_takes_no_address_of_the_client(kind: sdp.CandidateKind) -> None:
    """Nothing is ever sent to it (B116)."""
    with pytest.raises(Refused, match="is refused") as caught:
        await prepare_webrtc("turn", offer_of(kind), closed_relay, None)

    assert caught.value.code == Code.OFFER_BROKEN


async def test_relay_only_without_a_relay_is_told() -> None:
    """Why there is none, in our words, instead of an answer that shows an address."""
    with pytest.raises(Refused, match="TURN server cannot be reached"):
        await prepare_webrtc("turn", offer_of("relay"), closed_relay, None)
