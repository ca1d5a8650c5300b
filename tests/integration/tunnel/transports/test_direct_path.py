"""What is special about one direct connection; the rest is in tests/contract/test_paths.py."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from commander.tunnel.path import STREAM_MESSAGE_BYTES
from commander.tunnel.transports.carrier_socket import UNSENT_BYTES, tune
from commander.tunnel.transports.direct_path import DirectPath
from commander.tunnel.transports.framing import frame_header
from tests.contract.test_paths import Collected
from tests.support.direct import connected, direct_paths
from tests.support.tunnels import eventually

pytestmark = pytest.mark.integration


@pytest_asyncio.fixture
async def ends() -> AsyncIterator[tuple[DirectPath, socket.socket, Collected]]:
    """A started path, the bare socket at its other end, and what the path told."""
    one, two = connected()
    one.setblocking(False)
    tune(one)
    path, seen = DirectPath(one), Collected()
    path.start(seen)
    yield path, two, seen
    await path.close()
    two.close()


async def test_an_orderly_end_by_the_far_host_is_gone(
    ends: tuple[DirectPath, socket.socket, Collected],
) -> None:
    """Its kernel closed the connection: the process may have ended."""
    _, far, seen = ends
    far.close()
    await eventually(lambda: seen.lost, "the loss")
    assert seen.lost == ["the far end closed the connection"]
    assert seen.gone == [True]


async def test_a_reset_by_the_far_host_is_gone(
    ends: tuple[DirectPath, socket.socket, Collected],
) -> None:
    """A killed process with unread bytes resets."""
    _, far, seen = ends
    far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    far.close()
    await eventually(lambda: seen.lost, "the loss")
    assert seen.lost == ["the connection broke: Connection reset by peer"]
    assert seen.gone == [True]


async def test_our_own_close_is_not_gone(
    ends: tuple[DirectPath, socket.socket, Collected],
) -> None:
    """Nobody left: we did."""
    path, far, seen = ends
    far.shutdown(socket.SHUT_WR)
    await path.close("moved")
    assert seen.gone in ([False], [True])  # the far end's FIN may be first
    other = Collected()
    again, there = await direct_paths()
    again.start(other)
    await again.close("moved")
    await there.close()
    assert (other.lost, other.gone) == (["moved"], [False])


@pytest.mark.parametrize("size", [0, STREAM_MESSAGE_BYTES + 1, 2**32 - 1])
async def test_an_impossible_length_loses_the_path(
    ends: tuple[DirectPath, socket.socket, Collected], size: int
) -> None:
    """The far end breaks the format: no message, no memory, and it is not gone."""
    _, far, seen = ends
    far.sendall(frame_header(3) + b"abc" + frame_header(size))
    await eventually(lambda: seen.lost, "the loss")
    assert seen.messages in ([], [b"abc"])
    assert seen.gone == [False]


async def test_messages_byte_by_byte(ends: tuple[DirectPath, socket.socket, Collected]) -> None:
    """Each read may end anywhere."""
    _, far, seen = ends
    far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    stream = b"".join(frame_header(len(m)) + m for m in (b"one", b"two" * 20))
    for at in range(len(stream)):
        far.sendall(stream[at : at + 1])
        await asyncio.sleep(0)
    await eventually(lambda: len(seen.messages) == 2, "both messages")
    assert seen.messages == [b"one", b"two" * 20]


async def test_a_slow_reader_costs_the_backlog_that_its_owner_allows() -> None:
    """What the kernel does not take is counted from the first byte on, and nothing is lost."""
    one, two = await direct_paths()
    sender, reader = Collected(), Collected()
    one.start(sender)
    message, count = bytes(STREAM_MESSAGE_BYTES), 0
    while one.backlog_bytes() < 1024 * 1024:
        one.send(message)
        count += 1
    # The receiver's window and the unsent bytes in the kernel; more is with us and can be bounded.
    assert count * len(message) < 1024 * 1024 + 8 * UNSENT_BYTES

    two.start(reader)
    await eventually(lambda: len(reader.messages) == count, "everything")
    assert sender.ready == 1
    for path in (one, two):
        await path.close()


async def test_close_gives_up_on_a_reader_that_never_reads() -> None:
    """A stalled far end keeps nobody for more than a moment."""
    one, two = await direct_paths()
    seen = Collected()
    one.start(seen)
    for _ in range(64):
        one.send(bytes(STREAM_MESSAGE_BYTES))
    async with asyncio.timeout(20):
        await one.close("enough")
    assert seen.lost == ["enough"]
    await two.close()


async def test_a_mistake_of_the_owner_ends_the_path() -> None:
    """It is reported as ours, and the tunnel does not wait for a path that stopped."""

    class Failing(Collected):
        def message_received(self, message: bytes | memoryview) -> None:
            raise RuntimeError("mistake")

    one, two = await direct_paths()
    owner = Failing()
    told: list[BaseException | None] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: told.append(context.get("exception"))
    )
    one.start(owner)
    two.send(b"x")
    await eventually(lambda: owner.lost, "the loss")
    assert owner.lost == ["the path's owner failed"]
    assert [str(error) for error in told] == ["mistake"]
    await two.close()


async def test_a_path_closed_before_it_began_tells_so() -> None:
    """Soon after `start`, and not inside it."""
    one, two = await direct_paths()
    await one.close()
    seen = Collected()
    one.start(seen)
    assert seen.lost == []
    await eventually(lambda: seen.lost, "the loss")
    await two.close()
