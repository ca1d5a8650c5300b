"""A loop that is held up shows it."""

from __future__ import annotations

import asyncio

from commander.metrics.loop_lag import RECENT, STALLED_S, LoopLag


async def test_a_loop_that_runs_is_measured_again_and_again() -> None:
    """Between start and stop the histogram fills; stop is idempotent."""
    lag = LoopLag(every_s=0.001)

    lag.start()
    async with asyncio.timeout(60):
        while lag.histogram.buckets()[-1][1] < 2:
            await asyncio.sleep(0.001)
    lag.stop()
    lag.stop()

    assert lag.worst() >= 0.0


def test_a_stall_is_remembered_for_a_while_and_then_forgotten() -> None:
    """One late tick makes the loop count as stalled until enough punctual ones followed."""
    lag = LoopLag()
    assert not lag.is_stalled()

    lag.note(STALLED_S)
    assert lag.is_stalled()
    assert lag.worst() == STALLED_S
    for _ in range(RECENT):
        lag.note(0.001)

    assert not lag.is_stalled()
