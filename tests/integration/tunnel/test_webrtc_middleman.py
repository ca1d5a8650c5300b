"""A router that ends DTLS itself on both sides: it has both channels and gets nothing (gate T05)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest

from commander.errors import CommanderError, SealBroken, Unreachable
from commander.tunnel.codes import Role
from commander.tunnel.engine import TunnelEnd
from commander.tunnel.path import Binding
from commander.tunnel.reports import TunnelLimits
from commander.tunnel.target import MakeProtocol
from commander.tunnel.transports import webrtc
from commander.tunnel.transports.channel import ChannelPath
from tests.integration.tunnel.webrtc_ends import LOOPBACK, altered, negotiate
from tests.support.tunnels import Recorded, conversation_keys

pytestmark = pytest.mark.integration


class Middle:
    """One side of whoever sits between: keeps what it is given and hands it to the other side."""

    def __init__(self, far: ChannelPath) -> None:
        self._far = far
        self.seen: list[bytes] = []

    def message_received(self, message: bytes | memoryview) -> None:
        self.seen.append(bytes(message))
        self._far.send(bytes(message))

    def path_ready(self) -> None:
        """Nothing waits here."""

    def path_lost(self, reason: str, *, gone: bool = False) -> None:
        """The attack is over."""


async def joined_through_the_middle() -> tuple[ChannelPath, ChannelPath, list[Middle]]:
    """A client's and a gateway's path, each to the one in the middle, who joins them."""
    for_client, at_client = await negotiate()
    for_gateway, at_gateway = await negotiate()
    client, near_client = await asyncio.gather(
        for_client.complete(at_client.wire), at_client.connected()
    )
    near_gateway, gateway = await asyncio.gather(
        for_gateway.complete(at_gateway.wire), at_gateway.connected()
    )
    middles = [Middle(near_gateway), Middle(near_client)]
    near_client.start(middles[0])
    near_gateway.start(middles[1])
    return client, gateway, middles


@pytest.fixture
async def middle() -> AsyncIterator[tuple[ChannelPath, ChannelPath, list[Middle]]]:
    client, gateway, middles = await joined_through_the_middle()
    yield client, gateway, middles
    for path in (client, gateway, middles[0]._far, middles[1]._far):
        await path.close()


async def attached(
    client: ChannelPath, gateway: ChannelPath, bindings: tuple[Binding, Binding]
) -> tuple[list[BaseException | None], list[bytes]]:
    """Attach both ends with the keys of one conversation; what became of it, and what was connected."""
    connected: list[bytes] = []

    async def connect(meta: bytes, make_protocol: MakeProtocol) -> None:
        connected.append(meta)

    limits, keys = TunnelLimits(hello_s=3.0), conversation_keys()
    near = TunnelEnd(Role.CLIENT, keys, events=Recorded(), limits=limits)
    far = TunnelEnd(
        Role.GATEWAY, conversation_keys(), events=Recorded(), limits=limits, connect=connect
    )
    found = await asyncio.gather(
        near.attach(client, bindings[0]), far.attach(gateway, bindings[1]), return_exceptions=True
    )
    for end in (near, far):
        await end.close()
    return list(found), connected


async def test_the_middle_of_two_channels_sees_greetings_alone(
    middle: tuple[ChannelPath, ChannelPath, list[Middle]],
) -> None:
    """HELLO binds both certificates, and here each end saw another one: both refuse, nothing is connected."""
    client, gateway, middles = middle

    found, connected = await attached(client, gateway, (client.binding, gateway.binding))

    assert client.binding != gateway.binding
    assert all(isinstance(error, CommanderError) for error in found), found
    assert any(isinstance(error, SealBroken) for error in found), found
    assert connected == []
    # A greeting and a proof from each side, 36 bytes each; not one sealed message.
    assert all(len(message) == 36 for side in middles for message in side.seen)


async def test_the_same_ends_with_one_view_are_joined(
    middle: tuple[ChannelPath, ChannelPath, list[Middle]],
) -> None:
    """The control: it is the binding that refuses, and the seal that keeps the rest from whoever listens."""
    client, gateway, middles = middle

    found, _ = await attached(client, gateway, (client.binding, client.binding))

    assert found == [None, None]
    assert any(len(message) != 36 for side in middles for message in side.seen)


@pytest.mark.parametrize(
    "change",
    [lambda real: bytes([real[0] ^ 1]) + real[1:], lambda real: bytes(b ^ 255 for b in real)],
    ids=["one bit", "all bits"],
)
async def test_a_gateway_that_was_told_a_false_fingerprint_opens_nothing(
    change: Callable[[bytes], bytes],
) -> None:
    """The other role: the client's offer is altered on its way (B113)."""
    offered = await webrtc.offer(replace(LOOPBACK, connect_timeout_s=2.0))
    false = altered(offered.wire, fingerprint=change(offered.local.fingerprint))
    accepted = await webrtc.accept(false, LOOPBACK)
    completing = asyncio.gather(
        offered.complete(accepted.wire), accepted.connected(), return_exceptions=True
    )

    _, at_gateway = await completing

    assert isinstance(at_gateway, Unreachable)
    await offered.close()
