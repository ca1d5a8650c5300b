from __future__ import annotations

import asyncio

import pytest

from commander.tunnel.transports.memory import Faults, MemoryPath, memory_paths
from tests.support.tunnels import eventually


class Seen:
    """Events of one end."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.lost: list[str] = []
        self.ready = 0

    def message_received(self, message: bytes | memoryview) -> None:
        self.messages.append(bytes(message))

    def path_ready(self) -> None:
        self.ready += 1

    def path_lost(self, reason: str, *, gone: bool = False) -> None:
        self.lost.append(reason)


def started(paths: tuple[MemoryPath, MemoryPath]) -> tuple[Seen, Seen]:
    seen = Seen(), Seen()
    paths[0].start(seen[0])
    paths[1].start(seen[1])
    return seen


async def run(faults: Faults, *, seed: int = 1, count: int = 200) -> list[bytes]:
    paths = memory_paths(faults, seed=seed)
    _, receiver = started(paths)
    for number in range(count):
        paths[0].send(b"%04d" % number)
    await paths[0].close()
    await eventually(lambda: receiver.lost, "the end")
    return receiver.messages


SENT = [b"%04d" % number for number in range(200)]


async def test_without_faults_everything_arrives_in_order() -> None:
    """The control of all patterns below."""
    assert await run(Faults()) == SENT


async def test_delay_and_jitter_keep_the_order() -> None:
    """Messages come late, none overtakes another."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    assert await run(Faults(delay_s=0.02, jitter_s=0.01)) == SENT
    assert loop.time() - start >= 0.02


async def test_a_bottleneck_takes_its_time() -> None:
    """800 bytes at 8,000 a second are a tenth of a second."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    assert await run(Faults(bytes_per_s=8000.0)) == SENT
    assert loop.time() - start >= 0.1


async def test_faults_happen_and_are_the_same_for_the_same_seed() -> None:
    """Each pattern changes something, repeatably."""
    for faults in (Faults(reorder=0.2), Faults(duplicate=0.2), Faults(corrupt=0.2)):
        once, again = await run(faults, seed=7), await run(faults, seed=7)
        assert once == again
        assert once != SENT
    assert sorted(await run(Faults(duplicate=0.2))) != SENT
    assert set(await run(Faults(reorder=0.2))) <= set(SENT)


async def test_a_black_hole_is_silent() -> None:
    """Messages vanish; nobody is told."""
    paths = memory_paths(Faults(black_hole_after=3))
    sender, receiver = started(paths)
    for number in range(3):
        paths[0].send(b"%d" % number)
        await eventually(lambda: paths[0].backlog_bytes() == 0, "the delivery")
    paths[0].send(b"vanishes")
    await eventually(lambda: paths[0].backlog_bytes() == 0, "the loss")
    assert receiver.messages == [b"0", b"1", b"2"]
    assert sender.lost == receiver.lost == []


async def test_a_cut_kills_both_ends_with_what_was_under_way() -> None:
    """By pattern or by hand."""
    paths = memory_paths(Faults(cut_after=2))
    sender, receiver = started(paths)
    for _ in range(5):
        paths[0].send(b"x")
    await eventually(lambda: sender.lost and receiver.lost, "both losses")
    assert receiver.messages == []
    assert paths[0].backlog_bytes() == 0


async def test_a_held_path_piles_up_until_it_is_released() -> None:
    """And tells when there is room again."""
    paths = memory_paths()
    sender, receiver = started(paths)
    paths[0].hold()
    for _ in range(20):
        paths[0].send(bytes(60_000))
    assert paths[0].backlog_bytes() == 1_200_000
    paths[0].release()
    await eventually(lambda: len(receiver.messages) == 20, "the messages")
    assert sender.ready == 1
    assert paths[0].backlog_bytes() == 0


async def test_a_message_over_the_limit_is_the_callers_mistake() -> None:
    """No path cuts messages."""
    paths = memory_paths(max_message_bytes=10)
    with pytest.raises(AssertionError):
        paths[0].send(bytes(11))
