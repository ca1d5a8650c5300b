from __future__ import annotations

import asyncio
import logging
import struct
from typing import Any

import pytest
from aioice import stun

from commander.clock import ManualClock
from commander.tunnel.transports.webrtc_drops import DropCounter, dropped, guard_loop, thin_log


def test_drops_are_told_in_one_line_a_second(caplog: pytest.LogCaptureFixture) -> None:
    """Ten thousand drops in one second are one line, and the next line has the sum."""
    clock = ManualClock()
    counter = DropCounter(clock)

    for _ in range(10_000):
        counter.count("stun-malformed")
    clock.advance(1.0)
    counter.count("dtls-foreign")

    assert [record.getMessage().rpartition(": ")[2] for record in caplog.records] == [
        "stun-malformed 1",
        "dtls-foreign 1, stun-malformed 9999",
    ]
    assert counter.totals["stun-malformed"] == 10_000


async def test_library_errors_in_the_loop_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    """An error that the library leaves to the loop is a count, not a traceback."""
    loop = asyncio.get_running_loop()
    guard_loop(loop)
    guard_loop(loop)
    before = dropped.totals["library-error"]
    try:
        stun.unpack_unsigned(b"")
    except struct.error as error:
        loop.call_exception_handler({"message": "callback failed", "exception": error})

    assert dropped.totals["library-error"] == before + 1
    assert not [record for record in caplog.records if record.name == "asyncio"]


async def test_errors_of_others_reach_the_handler_before_ours() -> None:
    """The guard hides nothing but the libraries' errors."""
    loop = asyncio.get_running_loop()
    seen: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: seen.append(context))
    guard_loop(loop)
    try:
        raise KeyError("ours")
    except KeyError as error:
        loop.call_exception_handler({"message": "x", "exception": error})
    loop.call_exception_handler({"message": "no exception at all"})

    assert [context["message"] for context in seen] == ["x", "no exception at all"]


def test_log_of_the_library_is_thinned(caplog: pytest.LogCaptureFixture) -> None:
    """A thousand tracebacks of the DTLS transport are one."""
    logger = logging.getLogger("aiortc.rtcdtlstransport")
    thin_log(logger.name)
    for _ in range(1000):
        logger.warning("traceback")

    assert len(caplog.records) <= 2
