"""Measuring a tunnel whose far end is the gateway's probe."""

from __future__ import annotations

import asyncio

import pytest

from commander.diagnosis.measure import ROUND_TRIPS, measure
from commander.errors import Unreachable
from commander.gateway.probing import ProbeEnd
from commander.tunnel.codes import CloseCode
from tests.support.tunnels import connect_named, joined

pytestmark = pytest.mark.integration


async def test_round_trip_and_rates_within_the_bound() -> None:
    """Both ways are measured, and no more bytes go than allowed, beside the round trips."""
    async with joined(connect=ProbeEnd()) as tunnel:
        async with asyncio.timeout(60):
            measured = await measure(tunnel.client, bulk_bytes=1_000_000)
        carried = tunnel.client.stats()

    assert measured.rtt_ms > 0
    assert min(measured.to_gateway, measured.from_gateway) > 0
    beside = 100 * ROUND_TRIPS
    assert carried.bytes_out <= 1_000_000 + beside
    assert carried.bytes_in <= 1_000_000 + beside


async def test_a_tunnel_that_breaks_while_it_is_measured_is_told() -> None:
    """The end of the tunnel ends the measurement with an error of ours."""
    async with joined(connect=ProbeEnd()) as tunnel:
        measuring = asyncio.ensure_future(measure(tunnel.client, bulk_bytes=2**40, bulk_s=3600.0))
        while not tunnel.client.stats().bytes_out:
            await asyncio.sleep(0)
        await tunnel.gateway.close(CloseCode.GOING_AWAY, "end of test")

        with pytest.raises(Unreachable):
            async with asyncio.timeout(60):
                await measuring


async def test_a_far_end_that_is_no_probe_is_told() -> None:
    """A gateway that connects nothing resets the streams, which is an error and no figure."""
    async with joined(connect=connect_named) as tunnel:
        with pytest.raises(Unreachable):
            async with asyncio.timeout(60):
                await measure(tunnel.client)
