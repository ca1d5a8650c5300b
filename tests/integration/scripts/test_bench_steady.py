"""What measures tunnels over long links, on loopback and with a far end that does not answer."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

from scripts.lib.bench import steady

RATES = ("down x1", "up x1", "down x3", "up x3")


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[int]:
    """A target; its port."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        task = asyncio.create_task(steady.serve(listener))
        try:
            yield listener.getsockname()[1]
        finally:
            task.cancel()
            await asyncio.wait([task])


async def test_every_step_finds_a_figure() -> None:
    """Both directions, alone and several at once, and idle round trips."""
    steps = steady.Steps(warm_s=0.02, window_s=0.4, pings=5, connects=2, parallel=3)
    async with serving() as port:
        found = await steady.Driver("127.0.0.1", port, steps).run(10.0)

    assert found.failed == {}
    assert {"first byte", *RATES} <= found.figures.keys()
    # A machine that stands still for one whole window has moved nothing in it.
    assert any(found.figures[name] > 0 for name in RATES)
    assert len(found.idle) == 5


async def test_a_far_end_that_says_nothing_leaves_reasons_and_ends() -> None:
    """Each step is given up in its time, the next begins, and nothing waits for ever."""
    steps = steady.Steps(warm_s=0.01, window_s=0.02, pings=1, connects=1, parallel=3, grace_s=0.1)
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        async with asyncio.timeout(60):
            found = await steady.Driver("127.0.0.1", silent.getsockname()[1], steps).measure()

    assert found.failed["idle"].startswith("not done within")
    assert {"up x1", "up x3"} <= found.failed.keys()


async def test_a_port_that_refuses_is_told() -> None:
    """The reason is that of the system, and no further step is tried."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        found = await steady.Driver("127.0.0.1", taken.getsockname()[1], steady.Steps()).run(0.0)

    assert list(found.failed) == ["start"]
    assert "ConnectionRefusedError" in found.failed["start"]
