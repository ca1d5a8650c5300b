"""A stream on two descriptors: every byte, both ends of file, and how it ended."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from commander.hosting.stdio import carry
from tests.support.hosted_tunnels import hosted, to_target
from tests.support.tunnels import eventually

pytestmark = pytest.mark.integration


async def test_what_goes_in_comes_out(tmp_path: Path, echo_port: int) -> None:
    """More than any buffer holds, ended by the end of the input; a plain file will do."""
    data = os.urandom(3_000_000)
    (tmp_path / "in").write_bytes(data)
    source = os.open(tmp_path / "in", os.O_RDONLY)
    sink = os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT)
    try:
        async with hosted(tmp_path, to_target("127.0.0.1", echo_port)) as world:
            report = await carry(world.tunnel, source, sink)
    finally:
        os.close(source)
        os.close(sink)

    assert (tmp_path / "out").read_bytes() == data
    assert (report.cause, report.bytes_out) == ("closed", len(data))


async def test_a_target_that_refuses_is_told(tmp_path: Path) -> None:
    """The report has the cause; nothing was written."""
    source, input_end = os.pipe()
    sink = os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT)
    try:
        async with hosted(tmp_path, to_target("127.0.0.1", 1)) as world:
            report = await carry(world.tunnel, source, sink)
    finally:
        for handle in (input_end, sink):
            os.close(handle)

    assert report.cause == "target-refused"
    assert (tmp_path / "out").read_bytes() == b""


async def test_a_reader_that_goes_away_ends_the_stream(tmp_path: Path, echo_port: int) -> None:
    """As when ssh is killed: the target is not left with an open connection."""
    source, input_end = os.pipe()
    output_end, sink = os.pipe()
    async with hosted(tmp_path, to_target("127.0.0.1", echo_port)) as world:
        carried = asyncio.create_task(carry(world.tunnel, source, sink))
        await eventually(lambda: world.gateway.stats().streams_open, "the stream")
        os.close(output_end)
        os.write(input_end, b"nobody hears the answer")
        async with asyncio.timeout(20):
            await carried
        await eventually(lambda: not world.gateway.stats().streams_open, "its end at the gateway")
    os.close(input_end)
    os.close(sink)
