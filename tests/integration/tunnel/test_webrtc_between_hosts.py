from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from commander.tunnel.transports import sdp
from tests.integration.tunnel.remote_peer import RemotePeer, start_peer
from tests.support.namespaces import Lab

pytestmark = pytest.mark.integration

SIZE = 4 * 1024 * 1024
STUN_HEAD = "00010008" + "2112a442" + "00" * 12
# 2,000 packets a second until it is ended, from a machine that has no part in the conversation.
FLOOD = f"""
import socket, sys, time
target = sys.argv[1], int(sys.argv[2])
packets = [bytes.fromhex("{STUN_HEAD}" + kind + "000100000000") for kind in ("0024", "8029", "0006")]
packets += [b"\\x15\\xfe\\xfd" + bytes(8) + b"\\x00\\x02\\x02\\x28", b"", b"\\x80" * 200]
out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for number in range(1 << 30):
    out.sendto(packets[number % len(packets)], target)
    if number % 20 == 0:
        time.sleep(0.01)
    if number == 200:
        print("flooding", flush=True)
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab("client", "gateway", "stranger") as lab:
        yield lab


@pytest.fixture
async def peers(lab: Lab) -> AsyncIterator[tuple[RemotePeer, RemotePeer]]:
    client, gateway = await start_peer(lab["client"]), await start_peer(lab["gateway"])
    yield client, gateway
    await client.end()
    await gateway.end()


async def connect(client: RemotePeer, gateway: RemotePeer) -> str:
    """Exchange descriptions; what the gateway answered."""
    offer = await client.do(do="offer")
    answer = await gateway.do(do="accept", wire=offer["wire"])
    await asyncio.gather(client.do(do="complete", wire=answer["wire"]), gateway.do(do="connected"))
    wire: str = answer["wire"]
    return wire


async def transfer(client: RemotePeer, gateway: RemotePeer) -> tuple[dict[str, Any], ...]:
    """Push SIZE both ways at once; the reports, whose digests were compared."""
    at_client, at_gateway = await asyncio.gather(
        client.do(do="transfer", bytes=SIZE), gateway.do(do="transfer", bytes=SIZE)
    )
    assert at_client["sent"] == at_gateway["received"]
    assert at_gateway["sent"] == at_client["received"]
    return at_client, at_gateway


async def test_bytes_arrive_between_two_hosts(
    lab: Lab, peers: tuple[RemotePeer, RemotePeer]
) -> None:
    """Two processes on two hosts find each other by host candidates and move 4 MiB both ways."""
    client, gateway = peers
    wire = await connect(client, gateway)

    reports = await transfer(client, gateway)

    offered = sdp.from_wire(bytes.fromhex(wire)).candidates
    assert [item.host for item in offered if "." in item.host] == [lab["gateway"].address]
    assert [report["log_lines"] for report in reports] == [0, 0]
    assert (await client.do(do="close"))["losses"] == ["closed"]


async def test_flood_of_a_third_host_does_not_disturb(
    lab: Lab, peers: tuple[RemotePeer, RemotePeer]
) -> None:
    """Malformed packets at the UDP port are dropped with at most a line a second (B119)."""
    client, gateway = peers
    wire = await connect(client, gateway)
    targets = [item for item in sdp.from_wire(bytes.fromhex(wire)).candidates if "." in item.host]
    program = [sys.executable, "-c", FLOOD, targets[0].host, str(targets[0].port)]
    began = time.monotonic()
    flood = lab["stranger"].start(*program)
    try:
        await asyncio.to_thread(flood.wait_for_line, "flooding")
        _, at_gateway = await transfer(client, gateway)
        flooded_s = time.monotonic() - began
    finally:
        await asyncio.to_thread(flood.kill)

    assert at_gateway["dropped"] > 50
    assert at_gateway["log_lines"] <= flooded_s + 1
    assert at_gateway["lag_s"] < 5.0


async def test_gateway_that_nobody_may_connect_to_is_reached(
    lab: Lab, peers: tuple[RemotePeer, RemotePeer]
) -> None:
    """Both ends send checks, so a firewall that lets only answers in does not matter."""
    client, gateway = peers
    lab["gateway"].drop_inbound()
    try:
        await connect(client, gateway)
        await transfer(client, gateway)
    finally:
        lab["gateway"].accept_inbound()


async def test_small_packets_are_enough(lab: Lab, peers: tuple[RemotePeer, RemotePeer]) -> None:
    """On a network of 576-byte packets everything still arrives (B128)."""
    for name in ("client", "gateway"):
        lab[name].run("ip", "link", "set", "dev", "eth0", "mtu", "576")
    try:
        await connect(*peers)
        await transfer(*peers)
    finally:
        for name in ("client", "gateway"):
            lab[name].run("ip", "link", "set", "dev", "eth0", "mtu", "1500")


async def test_close_ends_though_the_cable_is_pulled(
    lab: Lab, peers: tuple[RemotePeer, RemotePeer]
) -> None:
    """Closing does not wait for a peer that cannot be reached."""
    client, gateway = peers
    await connect(client, gateway)
    lab["client"].unplug()
    try:
        closed = await client.do(do="close")
    finally:
        lab["client"].plug_in()

    # The bound ends a hang; it is no measurement.
    assert closed["seconds"] < 15
