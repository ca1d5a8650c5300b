"""What is held against a peer where the native library carries the channel; the rest is in the contract suite."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator

import pytest
import webrtc as library
from google_crc32c import value

from commander.errors import TimedOut, Unreachable
from commander.tunnel.path import DATA_CHANNEL_MESSAGE_BYTES
from commander.tunnel.transports import webrtc, webrtc_fast
from commander.tunnel.transports.channel import ChannelPath
from commander.tunnel.transports.ice import WebRtcOptions
from commander.tunnel.transports.webrtc import WebRtcPath
from commander.tunnel.transports.webrtc_fast import FastPath
from tests.integration.tunnel.webrtc_ends import (
    THIS_MACHINE,
    LoopLag,
    Owner,
    altered,
    open_fast_paths,
)

pytestmark = pytest.mark.integration


@pytest.fixture
async def paths() -> AsyncIterator[tuple[FastPath, FastPath]]:
    async with open_fast_paths() as (client, gateway):
        assert isinstance(client, FastPath)
        assert isinstance(gateway, FastPath)
        yield client, gateway


def started(path: ChannelPath) -> Owner:
    owner = Owner()
    path.start(owner)
    return owner


async def test_both_libraries_understand_each_other() -> None:
    """Either may be at either end; the end of one is the end of the other, and told as such."""
    for one, other in ((webrtc, webrtc_fast), (webrtc_fast, webrtc)):
        async with open_fast_paths(one, other) as (client, gateway):
            at_client, at_gateway = started(client), started(gateway)
            sent = [os.urandom(size) for size in (1, 1200, DATA_CHANNEL_MESSAGE_BYTES)]
            for message in sent:
                client.send(message)
                gateway.send(message)
            await at_gateway.has_messages(3)
            await at_client.has_messages(3)
            await client.close()
            await at_gateway.has_lost()

            assert (at_client.messages, at_gateway.messages) == (sent, sent)
            assert client.binding == gateway.binding
            assert at_gateway.gone == [True]


async def test_a_false_fingerprint_never_opens() -> None:
    """The end that was told a wrong one gets no path (B113)."""
    offered = await webrtc_fast.offer(WebRtcOptions(connect_timeout_s=3.0))
    accepted = await webrtc_fast.accept(offered.wire, THIS_MACHINE)
    real = accepted.local.fingerprint
    wrong = altered(accepted.wire, fingerprint=bytes([real[0] ^ 1]) + real[1:])

    with pytest.raises((Unreachable, TimedOut), match="no webrtc path"):
        await offered.complete(wrong)
    await accepted.close()


async def test_an_address_that_was_not_chosen_is_not_offered() -> None:
    """Where none is left there is no offer."""
    with pytest.raises(Unreachable, match="no address may be offered"):
        await webrtc_fast.offer(WebRtcOptions(choose_addresses=lambda addresses: []))


async def test_a_text_message_ends_the_path(paths: tuple[FastPath, FastPath]) -> None:
    """Our peers send none (B124)."""
    client, gateway = paths
    at_gateway = started(gateway)
    client._channel.send("text")

    assert await at_gateway.has_lost() == "peer broke the channel's rules"


async def test_a_second_channel_ends_the_path(paths: tuple[FastPath, FastPath]) -> None:
    """So does one that opens another (B124)."""
    client, gateway = paths
    at_gateway = started(gateway)
    client._connection.create_data_channel("second")

    assert await at_gateway.has_lost() == "data on a second channel"


async def test_a_message_over_the_limit_ends_the_path(paths: tuple[FastPath, FastPath]) -> None:
    """The library takes 64 KiB and more, the path no more than it announces (B123)."""
    client, gateway = paths
    at_gateway = started(gateway)
    client._channel.send(bytes(DATA_CHANNEL_MESSAGE_BYTES + 1))

    assert await at_gateway.has_lost() == "peer broke the channel's rules"


async def test_a_peer_that_sends_more_than_is_taken_is_cut_off(
    paths: tuple[FastPath, FastPath],
) -> None:
    """The library queues without an end; past 1,024 messages the path is given up (B123)."""

    class Slow(Owner):
        def message_received(self, message: bytes | memoryview) -> None:
            # A busy loop in the middle of a flood.
            time.sleep(0.01)

    client, gateway = paths
    owner = Slow()
    gateway.start(owner)
    async with asyncio.timeout(60):
        while not owner.losses:
            if client.backlog_bytes() < 1024 * 1024:
                client.send(bytes(100))
            if client._lost_reason is not None or len(owner.losses):
                break
            await asyncio.sleep(0)

    assert await owner.has_lost() == "peer sends more than is taken"


async def test_broken_packets_of_a_logged_in_peer_end_that_path_at_most() -> None:
    """2,000 mutated SCTP packets inside the association: no stall, and the next path works (B121, B122)."""
    rng = random.Random(7)
    async with open_fast_paths(webrtc, webrtc_fast) as (client, gateway):
        assert isinstance(client, WebRtcPath)
        started(client)
        started(gateway)
        transport = client._association.transport
        packets: list[bytes] = []
        real_send = transport._send_data

        async def keep(data: bytes) -> None:
            packets.append(data)
            await real_send(data)

        transport._send_data = keep  # type: ignore[method-assign]  # what the library writes is the corpus
        for size in (1, 1000, 9000):
            client.send(os.urandom(size))
        async with asyncio.timeout(20):
            while len(packets) < 9:
                await asyncio.sleep(0.01)
        async with LoopLag() as lag:
            for _ in range(2000):
                packet = bytearray(rng.choice(packets))
                for _ in range(rng.randint(1, 8)):
                    packet[rng.randrange(12, len(packet))] = rng.randrange(256)
                try:
                    await real_send(_with_checksum(packet))
                except ConnectionError:
                    break

    assert lag.worst_s < 5.0
    async with open_fast_paths() as (client, gateway):
        at_gateway = started(gateway)
        client.send(b"still works")
        await at_gateway.has_messages(1)


def _with_checksum(packet: bytearray) -> bytes:
    packet[8:12] = bytes(4)
    checksum: int = value(bytes(packet))
    return bytes(packet[:8]) + checksum.to_bytes(4, "little") + bytes(packet[12:])


def test_the_library_is_the_one_that_was_tested() -> None:
    """Its package has another name than its distribution."""
    assert library.__name__ == "webrtc"
