from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from commander.api.relay import VARIABLE
from commander.hosting.relay import open_relay_path
from commander.tunnel.transports.stream_relay import StreamRelayPath
from commander.tunnel.transports.websocket import WebSocketPath
from commander.wire.relay import ALPN
from tests.contract.test_paths import Collected
from tests.integration.api.test_relay import World, world
from tests.support.tunnels import eventually

pytestmark = pytest.mark.integration


@pytest.fixture
async def streams() -> AsyncIterator[World]:
    """A server that offers relay streams."""
    async with world(ALPN, "http/1.1") as found:
        yield found


@pytest.mark.parametrize("far", ["stream", "websocket"])
async def test_the_ends_may_come_in_different_ways(streams: World, far: str) -> None:
    """A client on a stream and a gateway that only a WebSocket lets through, or both on streams."""
    one = await open_relay_path(streams.api(), {}, streams.conversation)
    gateway = streams.api(streams.gateway)
    two = await open_relay_path(gateway, {VARIABLE: far}, streams.conversation)
    assert isinstance(one, StreamRelayPath)
    assert isinstance(two, StreamRelayPath if far == "stream" else WebSocketPath)
    seen = Collected(), Collected()
    one.start(seen[0])
    two.start(seen[1])
    largest = bytes(range(256)) * (one.max_message_bytes // 256)
    for path in (one, two):
        path.send(b"small")
        path.send(largest)
    await eventually(lambda: all(len(s.messages) == 2 for s in seen), "all messages")
    assert seen[0].messages == seen[1].messages == [b"small", largest]
    await one.close()
    await eventually(lambda: seen[1].lost, "the loss")
    assert seen[1].gone == [True]
    await two.close()


async def test_what_a_server_offers_is_remembered(streams: World) -> None:
    """With the client it was found by, and no longer."""
    api = streams.api()
    for _ in range(2):
        path = await open_relay_path(api, {}, streams.conversation)
        assert isinstance(path, StreamRelayPath)
        await path.close()
