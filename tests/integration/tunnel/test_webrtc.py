from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from commander.errors import Conflict, InvalidInput, TimedOut, Unreachable
from commander.tasks import cancel_and_wait, spawn
from commander.tunnel.path import DATA_CHANNEL_MESSAGE_BYTES
from commander.tunnel.transports import channel, sdp, webrtc
from commander.tunnel.transports.channel import ChannelPath
from commander.tunnel.transports.ice import WebRtcOptions
from commander.tunnel.transports.webrtc import WebRtcPath
from commander.tunnel.transports.webrtc_drops import dropped
from tests.integration.tunnel.webrtc_ends import (
    LOOPBACK,
    LoopLag,
    Owner,
    altered,
    negotiate,
    open_paths,
)

pytestmark = pytest.mark.integration

FLOOD = 20_000
LAG_S = 5.0


@pytest.fixture
async def paths() -> AsyncIterator[tuple[WebRtcPath, WebRtcPath]]:
    async with open_paths() as paths:
        yield paths


def started(*paths: ChannelPath) -> list[Owner]:
    owners = []
    for path in paths:
        owners.append(Owner())
        path.start(owners[-1])
    return owners


def open_sockets() -> int:
    return sum(1 for entry in Path("/proc/self/fd").iterdir() if "socket:" in _target(entry))


def _target(entry: Path) -> str:
    try:
        return str(entry.readlink())
    except OSError:
        return ""


async def test_messages_arrive_whole_both_ways(paths: tuple[WebRtcPath, WebRtcPath]) -> None:
    """From one byte to the largest message, in order, in both directions."""
    client, gateway = paths
    at_client, at_gateway = started(client, gateway)
    sizes = [1, 2, 1159, 1160, 1161, DATA_CHANNEL_MESSAGE_BYTES]
    sent = [os.urandom(size) for size in sizes]

    for message in sent:
        client.send(message)
        gateway.send(message)
    await at_gateway.has_messages(len(sizes))
    await at_client.has_messages(len(sizes))

    assert at_gateway.messages == sent
    assert at_client.messages == sent


async def test_binding_holds_both_fingerprints(paths: tuple[WebRtcPath, WebRtcPath]) -> None:
    """Both ends bind HELLO to the same two certificates."""
    client, gateway = paths

    assert client.binding == gateway.binding
    assert len(client.binding.client) == len(client.binding.gateway) == 32
    assert client.binding.client != client.binding.gateway


async def test_backlog_is_told_and_room_announced(paths: tuple[WebRtcPath, WebRtcPath]) -> None:
    """A sender that waits for `path_ready` moves everything and never holds more than it meant."""
    client, gateway = paths
    at_client, at_gateway = started(client, gateway)
    digest, block = hashlib.sha256(), os.urandom(DATA_CHANNEL_MESSAGE_BYTES)

    for _ in range(128):
        if client.backlog_bytes() > channel.LOW_MARK_BYTES:
            await at_client.has_room(at_client.readies)
        client.send(block)
        digest.update(block)
        assert client.backlog_bytes() <= channel.LOW_MARK_BYTES + 2 * len(block)
    await at_gateway.has_messages(128)

    assert at_client.readies > 0
    assert hashlib.sha256(b"".join(at_gateway.messages)).digest() == digest.digest()


async def test_messages_before_start_are_kept(paths: tuple[WebRtcPath, WebRtcPath]) -> None:
    """An end that starts late gets the early messages first."""
    client, gateway = paths
    for number in range(5):
        client.send(bytes([number]))
    async with asyncio.timeout(20):
        while len(gateway._early) < 5:
            await asyncio.sleep(0.01)

    (owner,) = started(gateway)
    client.send(b"later")
    await owner.has_messages(6)

    assert owner.messages == [b"\0", b"\1", b"\2", b"\3", b"\4", b"later"]


async def test_too_many_messages_before_start_end_the_path(
    paths: tuple[WebRtcPath, WebRtcPath],
) -> None:
    """What is kept for a late owner is bounded."""
    client, gateway = paths
    (at_client,) = started(client)
    for _ in range(channel.MAX_EARLY_MESSAGES + 1):
        client.send(b"x")

    await at_client.has_lost()
    (owner,) = started(gateway)

    assert await owner.has_lost() == "peer sent too much before the path was started"


async def test_close_is_told_to_both_once(paths: tuple[WebRtcPath, WebRtcPath]) -> None:
    """Closing tells each owner exactly once, may be repeated, and leaves a dead path behind."""
    client, gateway = paths
    at_client, at_gateway = started(client, gateway)

    await client.close("stopped")
    await client.close("again")
    await at_gateway.has_lost()
    await gateway.close()
    client.send(b"into the void")

    assert (at_client.losses, at_client.gone) == (["stopped"], [False])
    assert (at_gateway.losses, at_gateway.gone) == (["channel closed by the peer"], [True])
    assert client.backlog_bytes() == 0


async def test_an_end_by_dtls_alone_is_an_end_of_the_far_host(
    paths: tuple[WebRtcPath, WebRtcPath],
) -> None:
    """A close_notify comes from the other end's process, so that it may be gone (B125)."""
    client, gateway = paths
    (at_gateway,) = started(gateway)
    await client._association.transport.stop()

    await at_gateway.has_lost()

    assert at_gateway.gone == [True]


async def test_a_broken_network_is_not_an_end_of_the_far_host(
    paths: tuple[WebRtcPath, WebRtcPath],
) -> None:
    """When our own socket dies nobody said anything."""
    client, _ = paths
    (at_client,) = started(client)
    await client._agent.close()

    await at_client.has_lost()

    assert at_client.gone == [False]


async def test_a_full_backlog_arrives_before_the_close(
    paths: tuple[WebRtcPath, WebRtcPath],
) -> None:
    """What was handed in before `close` is delivered, though it filled many packets."""
    client, gateway = paths
    _, at_gateway = started(client, gateway)
    for number in range(10):
        client.send(bytes([number]) * DATA_CHANNEL_MESSAGE_BYTES)

    await client.close("done")
    await at_gateway.has_lost()

    assert [message[0] for message in at_gateway.messages] == list(range(10))


async def test_closing_frees_sockets_and_tasks() -> None:
    """Ten paths leave no socket and no task."""
    async with open_paths():
        pass
    before = open_sockets()

    for _ in range(10):
        async with open_paths() as (client, gateway):
            started(client, gateway)

    assert open_sockets() == before
    async with asyncio.timeout(10):
        while asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.sleep(0.01)


async def test_failing_owner_ends_the_path(
    paths: tuple[WebRtcPath, WebRtcPath], caplog: pytest.LogCaptureFixture
) -> None:
    """A mistake of ours is logged as ours and not taken for the peer's."""

    class Failing(Owner):
        def message_received(self, message: bytes | memoryview) -> None:
            raise RuntimeError("mistake")

    client, gateway = paths
    owner = Failing()
    gateway.start(owner)
    client.send(b"x")

    assert await owner.has_lost() == "internal error"
    assert "RuntimeError: mistake" in caplog.text


# --- Setting up: what a peer may do wrong --------------------------------------------------------


@pytest.mark.parametrize(
    "fingerprint",
    [lambda real: bytes([real[0] ^ 1]) + real[1:], lambda real: bytes(b ^ 255 for b in real)],
    ids=["one bit", "all bits"],
)
async def test_flipped_fingerprint_never_opens(fingerprint: Callable[[bytes], bytes]) -> None:
    """The end that was told a wrong fingerprint does not get a path (B113)."""
    offered, accepted = await negotiate()
    wrong = altered(accepted.wire, fingerprint=fingerprint(accepted.local.fingerprint))

    with pytest.raises(Unreachable, match="no webrtc path"):
        await offered.complete(wrong)
    await accepted.close()


async def test_second_answer_closes_the_path() -> None:
    """A negotiation leads to one path; another answer ends it (B117)."""
    offered, accepted = await negotiate()
    await asyncio.gather(offered.complete(accepted.wire), accepted.connected())

    with pytest.raises(Conflict):
        await offered.complete(accepted.wire)
    with pytest.raises(Conflict):
        await accepted.connected()


async def test_offer_in_place_of_an_answer_is_refused() -> None:
    """When both ends offer, neither offer completes the other (B117)."""
    one, other = await webrtc.offer(LOOPBACK), await webrtc.offer(LOOPBACK)

    with pytest.raises(Conflict, match="expected an answer"):
        await one.complete(other.wire)
    with pytest.raises(Conflict, match="this way"):
        await other.connected()


async def test_answer_in_place_of_an_offer_is_refused() -> None:
    """An answer begins nothing (B117)."""
    offered, accepted = await negotiate()

    with pytest.raises(Conflict, match="expected an offer"):
        await webrtc.accept(accepted.wire, LOOPBACK)
    await offered.close()
    await accepted.close()


async def test_own_offer_mirrored_back_is_refused() -> None:
    """A router that reflects our own description as an answer gains nothing."""
    offered = await webrtc.offer(LOOPBACK)

    with pytest.raises(Conflict, match="expected an answer"):
        await offered.complete(altered(offered.wire, setup="active"))


async def test_malformed_descriptions_are_refused() -> None:
    """Garbage from the conversation is InvalidInput on both sides, and frees the attempt."""
    offered = await webrtc.offer(LOOPBACK)

    with pytest.raises(InvalidInput):
        await webrtc.accept(offered.wire[:-1], LOOPBACK)
    with pytest.raises(InvalidInput):
        await offered.complete(b"")
    with pytest.raises(Conflict):
        await offered.complete(b"")


async def test_candidate_outside_the_rules_is_not_checked() -> None:
    """By default a peer cannot aim our checks at our own services (B116)."""
    offered = await webrtc.offer(LOOPBACK)

    with pytest.raises(InvalidInput, match=r"127\.0\.0\.1 is refused: loopback"):
        await webrtc.accept(offered.wire)
    await offered.close()


async def test_silent_peer_is_a_coded_timeout() -> None:
    """Where nothing answers, the wait ends at its deadline."""
    options = WebRtcOptions(
        rules=LOOPBACK.rules, choose_addresses=LOOPBACK.choose_addresses, connect_timeout_s=0.3
    )
    offered, accepted = await negotiate(client=options)
    await accepted.close()

    with pytest.raises(TimedOut, match=r"within 0\.3 s"):
        await offered.complete(accepted.wire)


async def test_end_without_addresses_cannot_offer() -> None:
    """A policy that offers nothing is told at once, not after a timeout."""
    nothing = WebRtcOptions(choose_addresses=lambda addresses: [])

    with pytest.raises(InvalidInput, match="no candidate"):
        await webrtc.offer(nothing)


# --- Floods --------------------------------------------------------------------------------------


def port_of(wire: bytes) -> int:
    return sdp.from_wire(wire, LOOPBACK.rules).candidates[0].port


async def flood(port: int, packets: list[bytes], count: int = 10**9) -> None:
    """A third party throws packets at a port, as fast as the loop takes them."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.setblocking(False)
        for at in range(count):
            with contextlib.suppress(BlockingIOError):
                stranger.sendto(packets[at % len(packets)], ("127.0.0.1", port))
            await asyncio.sleep(0)


def short_attribute(kind: int) -> bytes:
    return (
        b"\0\1\0\x08\x21\x12\xa4\x42" + bytes(12) + bytes([kind >> 8, kind & 255, 0, 1]) + bytes(4)
    )


HOSTILE = {
    "malformed STUN": [short_attribute(kind) for kind in (0x24, 0x25, 0x8029, 0x20, 6)],
    "stray DTLS": [b"\x16\xfe\xff" + os.urandom(60), b"\x15\xfe\xfd" + bytes(8) + b"\0\2\2\x28"],
    "garbage": [b"", b"\x80" * 100, os.urandom(1200), b"\xff"],
}


@pytest.mark.parametrize("packets", HOSTILE.values(), ids=HOSTILE.keys())
async def test_flood_does_not_disturb_a_path(
    packets: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    """Packets of a third party are dropped and counted, and messages go on (B119, B120)."""
    offered, accepted = await negotiate()
    client, gateway = await asyncio.gather(offered.complete(accepted.wire), accepted.connected())
    at_client, at_gateway = started(client, gateway)
    before = sum(dropped.totals.values())
    began = asyncio.get_running_loop().time()

    async with LoopLag() as lag:
        flooding = spawn(flood(port_of(accepted.wire), packets, FLOOD), name="flood")
        rounds = 0
        while not flooding.done():
            client.send(b"ping")
            rounds += 1
            await at_gateway.has_messages(rounds)
    await flooding

    seconds = asyncio.get_running_loop().time() - began
    assert sum(dropped.totals.values()) - before > FLOOD / 2
    assert rounds > 10
    assert lag.worst_s < LAG_S
    assert at_client.losses == at_gateway.losses == []
    assert len([r for r in caplog.records if r.levelno >= logging.WARNING]) <= seconds + 1
    await client.close()
    await gateway.close()


async def test_handshake_completes_under_stray_dtls() -> None:
    """A stranger's ClientHello and alerts do not reach the handshake (B120)."""
    offered, accepted = await negotiate()
    before = dropped.totals["dtls-foreign"]
    floods = [
        spawn(flood(port_of(wire), HOSTILE["stray DTLS"]), name="flood")
        for wire in (accepted.wire, offered.wire)
    ]

    client, gateway = await asyncio.gather(offered.complete(accepted.wire), accepted.connected())

    await cancel_and_wait(*floods)
    assert dropped.totals["dtls-foreign"] > before
    await client.close()
    await gateway.close()


async def test_text_message_ends_the_path(paths: tuple[WebRtcPath, WebRtcPath]) -> None:
    """A peer that speaks otherwise than ours is cut off, and the owner is told why (B124)."""
    client, gateway = paths
    at_gateway = started(gateway)[0]
    client._channel.send("text")

    assert await at_gateway.has_lost() == "message that is not binary"


async def test_second_channel_ends_the_path(paths: tuple[WebRtcPath, WebRtcPath]) -> None:
    """So is one that opens another channel (B124)."""
    client, gateway = paths
    at_gateway = started(gateway)[0]
    client._connection.createDataChannel("second")

    assert await at_gateway.has_lost() == "data on a second channel"


async def test_message_over_the_path_limit_ends_it(paths: tuple[WebRtcPath, WebRtcPath]) -> None:
    """The association takes 64 KiB, the path no more than it announces."""
    client, gateway = paths
    at_gateway = started(gateway)[0]
    client._channel.send(bytes(DATA_CHANNEL_MESSAGE_BYTES + 1))

    assert await at_gateway.has_lost() == "peer broke the channel's rules"
