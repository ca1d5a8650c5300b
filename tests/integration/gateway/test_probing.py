"""Probe tunnels: measured at the gateway itself, bounded, audited, and leading nowhere."""

from __future__ import annotations

import asyncio
import socket

import pytest

from commander.audit.events import TunnelIntent, TunnelOutcome
from commander.authority.refusals import Code
from commander.diagnosis.measure import measure
from commander.errors import Unreachable
from commander.gateway.limits import CHECKS_BURST
from commander.gateway.probing import MAX_STREAMS, ProbeEnd
from commander.tunnel.codes import CloseCode, StreamRefused
from commander.tunnel.engine import TunnelEnd
from commander.tunnel.path import Binding
from commander.wire.commands import PROBE_TUNNEL
from tests.support.gateway_world import Running, World

pytestmark = pytest.mark.integration


async def open_probe(running: Running) -> TunnelEnd:
    """A probe tunnel from command to a client's end that is up."""
    asked, reply = await running.start(action=PROBE_TUNNEL)
    assert reply.accepted, reply.code
    end = TunnelEnd("client", asked.keys)
    await end.attach(running.world.kinds.client_ends[asked.command.conversation], Binding())
    return end


async def test_a_probe_is_measured_and_audited(world: World) -> None:
    """Round trip and both rates come out; intent and outcome tell of a probe, not of the target."""
    running = await world.service()

    end = await open_probe(running)
    async with asyncio.timeout(60):
        measured = await measure(end, bulk_bytes=1024 * 1024)
    await end.close(CloseCode.STOPPED, "measured")
    async with asyncio.timeout(60):
        while len(running.service.sessions):
            await asyncio.sleep(0.01)

    assert measured.rtt_ms > 0
    assert min(measured.to_gateway, measured.from_gateway) > 0
    intent = next(e for e in world.journal.events if isinstance(e, TunnelIntent))
    outcome = next(e for e in world.journal.events if isinstance(e, TunnelOutcome))
    assert (intent.user, intent.record, intent.target_port) == (world.bob.user, world.record.uid, 0)
    assert (outcome.code, outcome.programs) == ("stopped", "diagnose")
    assert outcome.bytes_to_target >= 1024 * 1024


async def test_a_probe_is_judged_as_a_start_is(world: World) -> None:
    """Who may not start a tunnel gets the same refusal, and the target is not asked."""
    running = await world.service()
    stranger = world.enterprise.add_person("eve@acme.example")

    _, refused = await running.start(stranger, action=PROBE_TUNNEL)

    assert (refused.accepted, refused.code) == (False, Code.POLICY_MISSING)


async def test_probes_of_one_user_are_few(world: World) -> None:
    """Past the burst a probe is refused, and tunnels can still be started."""
    running = await world.service()
    codes = [
        (await running.start(action=PROBE_TUNNEL))[1].code for _ in range(int(CHECKS_BURST) + 1)
    ]

    assert codes[-1] == Code.LIMIT_REACHED
    assert set(codes[:-1]) == {""}
    assert (await running.start())[1].accepted
    await running.service.close()


async def test_a_probe_carries_no_more_than_its_bound(world: World) -> None:
    """The stream that asks for more than is left is reset."""
    running = await world.service()
    end = await open_probe(running)
    session = running.service.sessions.all()[0]
    session.target = ProbeEnd(most_bytes=100_000)
    assert session.end is not None
    session.end._connect = session.target

    with pytest.raises(Unreachable, match=r"probe broke|bytes of"):
        async with asyncio.timeout(60):
            await measure(end)

    await end.close()
    await running.service.close()


async def test_a_probe_ends_by_itself(world: World) -> None:
    """Its time over, the gateway closes the tunnel whatever the client does."""
    running = await world.service()
    end = await open_probe(running)
    gateway_end = running.service.sessions.all()[0].end
    assert gateway_end is not None

    ProbeEnd(most_s=0.0).bound(gateway_end)
    async with asyncio.timeout(60):
        closed = await end.closed

    assert closed.code is CloseCode.LIMIT
    await running.service.close()


@pytest.mark.parametrize("said", [b"", b"X", b"S\0\0"])
async def test_a_stream_that_says_nothing_known_is_reset(said: bytes) -> None:
    """Another letter, half a count, or nothing: the far end closes, and nothing comes."""
    probe = ProbeEnd()

    assert await _talk(probe, said) == b""


async def test_streams_of_a_probe_are_few() -> None:
    """One more than the bound is refused while the others live."""
    probe = ProbeEnd()
    loop = asyncio.get_running_loop()
    protocols = [_Silent(loop) for _ in range(MAX_STREAMS)]
    for protocol in protocols:
        await probe(b"", lambda protocol=protocol: protocol)  # type: ignore[misc]  # bound at once

    with pytest.raises(StreamRefused):
        await probe(b"", lambda: _Silent(loop))

    for protocol in protocols:
        protocol.hang_up()


class _Silent(asyncio.Protocol):
    """Says one thing, and keeps what comes until the end."""

    def __init__(self, loop: asyncio.AbstractEventLoop, said: bytes = b"") -> None:
        self.heard = bytearray()
        self.closed = loop.create_future()
        self._said = said
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        sock: socket.socket = transport.get_extra_info("socket")
        assert sock.family == socket.AF_UNIX
        if self._said:
            transport.write(self._said)

    def data_received(self, data: bytes) -> None:
        self.heard += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set_result(None)

    def hang_up(self) -> None:
        assert self._transport is not None
        self._transport.abort()

    def end(self) -> None:
        assert self._transport is not None
        self._transport.write_eof()


async def _talk(probe: ProbeEnd, said: bytes) -> bytes:
    protocol = _Silent(asyncio.get_running_loop(), said)
    await probe(b"", lambda: protocol)
    protocol.end()
    async with asyncio.timeout(60):
        await protocol.closed
    return bytes(protocol.heard)
