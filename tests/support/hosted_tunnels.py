"""A tunnel as a client process hosts it, with its gateway end in the same loop, over memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from commander.clock import SystemClock
from commander.config.paths import Paths
from commander.crypto.signing import SigningKey
from commander.hosting.conversation import Accepted, TunnelRequest
from commander.hosting.hosted import HostedTunnel
from commander.hosting.journal import Follower, Value
from commander.tunnel.codes import CloseCode, Role
from commander.tunnel.engine import TunnelEnd
from commander.tunnel.target import Connect, MakeProtocol, connect_address
from commander.tunnel.transports.memory import memory_paths
from commander.wire.commands import OfferAnswer, TunnelParameters
from tests.support.tunnels import Recorded, conversation_keys


@dataclass
class Hosted:
    """The client's tunnel, the gateway's end, and what was said of its end."""

    tunnel: HostedTunnel
    gateway: TunnelEnd
    gateway_events: Recorded
    paths: Paths
    ends: list[tuple[CloseCode, str]] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)

    def log(self) -> list[dict[str, Value]]:
        """Every line of the tunnel's log."""
        follower = Follower(self.paths.tunnel_log(self.tunnel.uid))
        try:
            return list(follower.new_lines())
        finally:
            follower.close()

    def logged(self, event: str) -> list[dict[str, Value]]:
        """The log's lines of one kind."""
        return [line for line in self.log() if line["event"] == event]


def request(title: str = "Orders DB", record: str = "r" * 22) -> TunnelRequest:
    """A request that no gateway will see."""
    return TunnelRequest(
        record=record,
        title=title,
        record_revision=1,
        settings_revision=1,
        remote="10.0.0.5:5432",
        gateway="g" * 22,
        gateway_sign_key=b"",
        gateway_box_key=b"",
        device="d" * 22,
        user="u" * 22,
        device_key=SigningKey(bytes(32)),
        tunnel_seed=b"",
        parameters=TunnelParameters("", 0, "", ""),
    )


def to_target(host: str, port: int) -> Connect:
    """A gateway's connector for one target."""

    async def connect(meta: bytes, make_protocol: MakeProtocol) -> None:
        await connect_address(host, port, make_protocol)

    return connect


@asynccontextmanager
async def hosted(directory: Path, connect: Connect) -> AsyncIterator[Hosted]:
    """A verified tunnel whose gateway connects by `connect`; it listens nowhere yet."""
    paths = Paths(home=directory / "home", runtime=directory / "run")
    ends: list[tuple[CloseCode, str]] = []
    notices: list[str] = []
    tunnel = HostedTunnel(
        request(),
        Accepted("c" * 22, conversation_keys(), OfferAnswer(kinds=(), webrtc=b"", target="")),
        paths=paths,
        clock=SystemClock(),
        mode="session",
        idle_s=None,
        ended=lambda _, code, reason: ends.append((code, reason)),
        notify=notices.append,
    )
    events = Recorded()
    gateway = TunnelEnd(Role.GATEWAY, conversation_keys(), events=events, connect=connect)
    client_path, gateway_path = memory_paths()
    await asyncio.gather(tunnel.end.attach(client_path), gateway.attach(gateway_path))
    try:
        yield Hosted(tunnel, gateway, events, paths, ends, notices)
    finally:
        await tunnel.close(CloseCode.STOPPED, "the test is over")
        await gateway.close()
