"""What the client offers of a WebRTC path, by what its server says of relays."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from commander.backend.turn import Relays
from commander.errors import Refused, Unreachable
from commander.hosting.webrtc import begin_webrtc
from commander.secret import Secret
from commander.tunnel.transports import sdp
from commander.wire.ice import parse_ice_url
from tests.support.backend_server import BackendServer, Person, running

pytestmark = pytest.mark.integration


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[BackendServer]:
    tmp_path.chmod(0o700)
    async with running(tmp_path) as found:
        yield found


@pytest.fixture
async def person(server: BackendServer) -> Person:
    return await server.set_up()


async def test_without_relays_the_machines_own_addresses_are_offered(person: Person) -> None:
    """And a gateway that answers nothing is a coded refusal."""
    attempt = await begin_webrtc("webrtc", person.api)

    assert {item.kind for item in sdp.from_wire(attempt.offer).candidates} == {"host"}
    with pytest.raises(Refused) as caught:
        await attempt.make(b"")
    assert caught.value.code == "path-forbidden"
    await attempt.close()
    await attempt.close()


async def test_a_path_through_relays_alone_needs_one(person: Person) -> None:
    """No address is offered in its place."""
    with pytest.raises(Unreachable, match="names no TURN relay"):
        await begin_webrtc("turn", person.api)


async def test_a_server_that_wants_relays_alone_is_obeyed(
    server: BackendServer, person: Person
) -> None:
    """When its relay is away there is no path, and why is told."""
    relay = parse_ice_url("turn:127.0.0.1:9?transport=tcp")
    server.core.relays = Relays((relay,), Secret("0123456789abcdef"), relay_only=True)

    with pytest.raises(Unreachable, match="TURN server cannot be reached"):
        await begin_webrtc("webrtc", person.api)
