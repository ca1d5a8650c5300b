"""Wires a gateway from its configuration, and runs it until a signal."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from commander import __version__, tasks
from commander.clock import SystemClock, iso_utc
from commander.errors import CommanderError, Conflict, InvalidInput
from commander.files import make_private_directory, read_private, write_private
from commander.gateway.agent import Agent
from commander.gateway.audit import AuditOutbox
from commander.gateway.direct import DirectDoor, DirectOptions
from commander.gateway.follower import LogFollower, try_to_catch_up
from commander.gateway.limits import MAX_TUNNELS, StartLimits
from commander.gateway.network import Network
from commander.gateway.paths import NetworkPaths
from commander.gateway.pins import Pins
from commander.gateway.records import RecordReader
from commander.gateway.service import CommandService, Identity
from commander.gateway.sessions import Sessions
from commander.gateway.targets import Allowance, TargetRule
from commander.ksm.config import GatewayConfig
from commander.launch.gateway_metrics import GatewayReadings
from commander.launch.observing import Observer
from commander.launch.tls_buffers import share_tls_buffers
from commander.metrics.gateway import METRICS
from commander.tunnel.descriptors import raise_descriptor_limit, tunnels_that_fit

_log = logging.getLogger(__name__)
STATUS_NAME = "status.json"
LOCK_NAME = "lock"
STATUS_EVERY_S = 10.0
Say = Callable[[str], None]


@contextmanager
def only_process(state: Path) -> Iterator[None]:
    """Hold the state directory. Raises Conflict when another process has it."""
    make_private_directory(state)
    handle = os.open(
        state / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
    )
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Conflict(
                "this gateway is running already", hint=f"its state is in {state}; stop it first"
            ) from None
        yield
    finally:
        os.close(handle)


def is_running(state: Path) -> bool:
    """Tell whether a process holds the state directory."""
    try:
        with only_process(state):
            return False
    except Conflict:
        return True


class StatusFile:
    """What `gateway status` reads."""

    def __init__(self, path: Path, clock: SystemClock) -> None:
        self._path = path
        self._clock = clock
        self._since = clock.now()
        self._state = "offline"
        self._up_since = clock.now()
        self.more: Callable[[], dict[str, Any]] = dict

    def changed(self, state: str) -> bool:
        """Note online or offline; tells whether it is news."""
        is_news = state != self._state
        if is_news:
            self._state, self._since = state, self._clock.now()
        self.write()
        return is_news

    def write(self) -> None:
        """Write the file; a failure is only logged."""
        content = {
            "pid": os.getpid(),
            "state": self._state,
            "since": iso_utc(self._since),
            "up_since": iso_utc(self._up_since),
            "version": __version__,
            **self.more(),
        }
        try:
            write_private(self._path, json.dumps(content).encode())
        except CommanderError as error:
            _log.warning("%s", error)

    async def keep(self) -> None:
        """Write it again and again."""
        while True:
            await asyncio.sleep(STATUS_EVERY_S)
            self.write()


def describe_status(config: GatewayConfig, state: Path) -> dict[str, Any]:
    """What is known of a gateway from outside its process."""
    found: dict[str, Any] = {
        "gateway": config.identity.gateway,
        "application": config.identity.application,
        "server": config.device.hostname,
        "state": "stopped",
    }
    if state.is_dir() and is_running(state):
        found["state"] = "offline"
        with contextlib.suppress(FileNotFoundError, InvalidInput, ValueError):
            found |= json.loads(read_private(state / STATUS_NAME, limit=8192))
    return found


async def run_gateway(
    config: GatewayConfig,
    *,
    state: Path,
    environment: Mapping[str, str],
    allowances: Sequence[Allowance],
    direct: DirectOptions,
    say: Say,
    observer: Observer,
) -> None:
    """
    Serve until SIGTERM or SIGINT; then refuse new tunnels, end the live ones, and return.

    `say` gets one line for each change: `gateway UID online`, `... offline`, `... stopped`.
    Raises Conflict (running already, fenced), NotAllowed (removed), Tampered.
    """
    share_tls_buffers()
    with only_process(state):
        clock = SystemClock()
        door = DirectDoor(direct, clock)
        network = Network(config, environment=environment, clock=clock)
        status = StatusFile(state / STATUS_NAME, clock)
        try:
            parts = await _build(config, state, network, allowances, door, clock, say)
            readings = GatewayReadings(parts.service, parts.follower, parts.outbox, door)
            status.more = lambda: _more_status(parts, observer)
            agent = _agent(config, parts, network, status, say, clock, readings)
            keeping = tasks.spawn(status.keep(), name="gateway-status")
            try:
                async with observer.serving(METRICS, readings.read, readings.not_ready):
                    await _run_with_signals(agent)
            finally:
                await tasks.cancel_and_wait(keeping)
                status.changed("offline")
        finally:
            door.close()
            await network.close()
        say(f"gateway {config.identity.gateway} stopped")


@dataclass(frozen=True)
class _Parts:
    """What an agent is made of."""

    service: CommandService
    follower: LogFollower
    outbox: AuditOutbox


def _more_status(parts: _Parts, observer: Observer) -> dict[str, Any]:
    """What `gateway status` shows beside whether it is online."""
    return {
        "tunnels": len(parts.service.sessions),
        "audit_waiting": parts.outbox.waiting,
        "last_problem": observer.problems.described(),
    }


async def _build(
    config: GatewayConfig,
    state: Path,
    network: Network,
    allowances: Sequence[Allowance],
    door: DirectDoor,
    clock: SystemClock,
    say: Say,
) -> _Parts:
    identity = config.identity
    pins = Pins(state / "pins.bin")
    follower = LogFollower(network.read_log, fingerprint=identity.root_fingerprint, pins=pins)
    outbox = AuditOutbox(
        state / "audit.outbox",
        producer=identity.gateway,
        key=identity.signing_key,
        clock=clock,
        upload=network.upload_audit,
    )
    recovered = await outbox.recover()
    if recovered:
        _log.warning("%d tunnels had no outcome: the gateway ended before it wrote them", recovered)
    reader = RecordReader(
        network.records.get_secret,
        client_id=config.device.client_id,
        app_key=config.device.app_key,
        pins=pins,
        state=lambda: follower.state,
        catch_up=lambda: try_to_catch_up(follower),
    )
    service = CommandService(
        Identity(identity.gateway, identity.signing_key, identity.box_key),
        follower=follower,
        reader=reader,
        sessions=Sessions(clock=clock, write=outbox.write),
        paths=NetworkPaths(
            network.open_relay,
            network.ask_for_relays,
            network.relay_tls,
            direct=door,
            environment=network.environment,
        ),
        rule=TargetRule(allowances),
        write=outbox.write,
        clock=clock,
        limits=StartLimits(tunnels=_tunnels_that_fit(say)),
    )
    return _Parts(service, follower, outbox)


def _tunnels_that_fit(say: Say) -> int:
    """The limit of tunnels; said when the system's limit of open files lowers it."""
    limit = raise_descriptor_limit()
    fits = tunnels_that_fit(limit)
    if fits < MAX_TUNNELS:
        say(
            f"room for {fits} tunnels, not {MAX_TUNNELS}: the limit of open files (ulimit -n) is {limit}"
        )
    return min(fits, MAX_TUNNELS)


def _agent(
    config: GatewayConfig,
    parts: _Parts,
    network: Network,
    status: StatusFile,
    say: Say,
    clock: SystemClock,
    readings: GatewayReadings,
) -> Agent:
    gateway = config.identity.gateway

    def changed(state: str) -> None:
        readings.changed(is_online=state == "online")
        if status.changed(state):
            _log.info("gateway %s is %s", gateway, state)
            say(f"gateway {gateway} {state}")

    return Agent(
        parts.service,
        parts.follower,
        parts.outbox,
        network.connect_control,
        gateway=gateway,
        version=__version__,
        clock=clock,
        changed=changed,
    )


async def _run_with_signals(agent: Agent) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, agent.stop)
    try:
        await agent.run()
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
