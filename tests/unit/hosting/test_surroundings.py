from __future__ import annotations

import asyncio

from commander.clock import ManualClock
from commander.hosting.surroundings import Surroundings, outbound_addresses
from tests.support.tunnels import eventually


class JumpingClock(ManualClock):
    """A clock that a test lets stand still or jump."""


async def test_a_process_that_stood_still_is_told() -> None:
    """At the first tick after it, once, and as a move: a sleeping machine may be anywhere."""
    told: list[tuple[str, bool]] = []
    clock = JumpingClock()
    watch = Surroundings(lambda why, *, is_moved: told.append((why, is_moved)), clock)
    watch.start()
    watch.start()
    await asyncio.sleep(0)
    clock.advance(60)

    await eventually(lambda: told, "the stop is told")

    assert told == [("the process stood still for 60 s", True)]
    await watch.close()
    await watch.close()


def test_the_addresses_of_this_machine_are_addresses() -> None:
    """One a family at most; nothing is sent to find out."""
    found = outbound_addresses()

    assert len(found) <= 2
    assert all(address and " " not in address for address in found)
