from __future__ import annotations

import pytest

from commander.authority.refusals import Code
from commander.errors import Refused
from commander.gateway.paths import NetworkPaths
from commander.tunnel.path import Path
from commander.tunnel.transports.memory import memory_paths
from commander.wire.commands import Offer


async def test_a_relay_is_opened_only_when_it_is_made() -> None:
    """Preparing costs nothing, so a refused command opens no connection."""
    opened: list[str] = []

    async def open_relay(conversation: str) -> Path:
        opened.append(conversation)
        return memory_paths()[0]

    plan = await NetworkPaths(open_relay).prepare("relay", "c", Offer(("relay",), b""))
    assert (opened, plan.answer) == ([], b"")

    path, binding = await plan.make(0)

    assert opened == ["c"]
    assert (binding.client, binding.gateway) == (b"", b"")
    await plan.close()
    await path.close()


@pytest.mark.parametrize("offer", [b"", b"{}", b"v=0\r\n", bytes(100_000)])
async def test_a_bad_webrtc_offer_is_refused_with_its_code(offer: bytes) -> None:
    """Whatever stands in the offer, the answer is offer-broken and nothing else is raised."""

    async def open_relay(conversation: str) -> Path:
        raise AssertionError("not asked for")

    with pytest.raises(Refused) as caught:
        await NetworkPaths(open_relay).prepare("webrtc", "c", Offer(("webrtc",), offer))

    assert caught.value.code == Code.OFFER_BROKEN
