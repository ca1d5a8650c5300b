"""What a gateway's metrics and readiness say of a gateway in memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from commander.clock import ManualClock
from commander.crypto.signing import SigningKey
from commander.gateway.audit import AuditOutbox
from commander.gateway.direct import DirectDoor, DirectOptions
from commander.launch.gateway_metrics import GatewayReadings
from commander.metrics.definitions import Readings, unknown_labels
from commander.metrics.gateway import METRICS
from commander.tunnel.codes import CloseCode
from tests.support.gateway_world import Running, World

COMMON = {"commander_build_info", "commander_loop_lag_seconds", "commander_log_problems_total"}


@pytest.fixture
def world(tmp_path: Path) -> World:
    tmp_path.chmod(0o700)
    return World(tmp_path)


def readings_of(
    running: Running, directory: Path, door: DirectDoor | None = None
) -> GatewayReadings:
    async def upload(entries: tuple[bytes, ...]) -> int:
        raise AssertionError("nothing is uploaded here")

    key = SigningKey.generate()
    outbox = AuditOutbox(
        directory / "outbox", producer="G" * 22, key=key, clock=ManualClock(), upload=upload
    )
    return GatewayReadings(running.service, running.follower, outbox, door)


def number(readings: Readings, name: str, *labels: str) -> float:
    series = readings[name]
    if labels:
        assert isinstance(series, dict)
        return float(series[labels])
    assert isinstance(series, float)
    return series


async def test_every_metric_has_its_reading_and_every_label_is_listed(
    world: World, tmp_path: Path
) -> None:
    """The table and what is read are of one mind, after commands were taken and refused."""
    running = await world.service()
    await running.start()
    await running.start(action="no.such.action")

    found = readings_of(running, tmp_path).read()

    table = {metric.name: metric for metric in METRICS}
    assert found.keys() == table.keys() - COMMON
    wrong = {name: unknown_labels(table[name], series) for name, series in found.items()}
    assert not any(wrong.values()), wrong
    assert number(found, "commander_gateway_commands_total", "accepted") == 1.0
    assert number(found, "commander_gateway_commands_total", "command-unknown-action") == 1.0
    await running.service.close()


async def test_a_tunnel_counts_from_its_beginning_to_its_end(world: World, tmp_path: Path) -> None:
    """It is held while it lives, and counted by the code it ended with afterwards."""
    running = await world.service()
    readings = readings_of(running, tmp_path)
    await running.start()

    held = readings.read()
    await running.service.sessions.close_all(CloseCode.STOPPED, "end of test")
    ended = readings.read()

    states = held["commander_gateway_tunnels"]
    assert isinstance(states, dict)
    assert sum(states.values()) == 1.0
    assert number(held, "commander_gateway_tunnels_opened_total") == 1.0
    assert number(held, "commander_gateway_tunnels", "opening") == 1.0
    assert number(ended, "commander_gateway_tunnels", "opening") == 0.0
    ends = ended["commander_gateway_tunnels_ended_total"]
    assert isinstance(ends, dict)
    assert sum(ends.values()) == 1.0


async def test_readiness_names_what_is_missing(world: World, tmp_path: Path) -> None:
    """Offline and a forked log are told; a gateway that is connected and read its log is ready."""
    running = await world.service()
    readings = readings_of(running, tmp_path)

    assert await readings.not_ready() == ["not connected to the server"]
    readings.changed(is_online=True)
    readings.changed(is_online=True)
    assert await readings.not_ready() == []
    running.follower.read_at = None
    assert await readings.not_ready() == ["the authority log was not read for 60 s"]

    found = readings.read()
    assert number(found, "commander_gateway_connected") == 1.0
    assert number(found, "commander_gateway_connections_total") == 1.0


async def test_direct_connections_are_counted(world: World, tmp_path: Path) -> None:
    """Calls towards clients, and what arrived at the owner's port; nothing, where there is no door."""
    door = DirectDoor(DirectOptions(listen=("127.0.0.1", 0)), ManualClock(0.0))
    assert door.may_call()
    assert door.reception is not None
    door.reception.counters.update({"let-in": 4, "unproven": 2})
    running = await world.service()

    other = tmp_path / "other"
    other.mkdir(mode=0o700)

    found = readings_of(running, tmp_path, door).read()
    bare = readings_of(running, other).read()

    assert number(found, "commander_gateway_direct_calls_total", "made") == 1
    assert number(found, "commander_gateway_direct_arrivals_total", "let-in") == 4
    assert number(found, "commander_gateway_direct_arrivals_total", "unproven") == 2
    assert bare["commander_gateway_direct_arrivals_total"] == {}
    door.close()
