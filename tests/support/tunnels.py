"""Two ends of a tunnel in one loop, over memory or a relay, between real local sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random

from websockets.asyncio.client import connect as websocket_connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from commander.clock import Clock
from commander.tunnel.codes import CloseCode, Role
from commander.tunnel.engine import TunnelEnd
from commander.tunnel.keys import ConversationKeys
from commander.tunnel.narrow import TcpCounts
from commander.tunnel.path import STREAM_MESSAGE_BYTES, Path
from commander.tunnel.reports import StreamReport, TunnelLimits
from commander.tunnel.target import Connect, MakeProtocol, connect_address
from commander.tunnel.transports.memory import Faults, MemoryPath, memory_paths
from commander.tunnel.transports.websocket import RELAY_OPTIONS, WebSocketPath
from tests.support.waiting import DEADLINE_S, NeverHappened

MakePaths = Callable[[], Awaitable[tuple[Path, Path]]]


async def eventually(condition: Callable[[], object], what: str) -> None:
    """Let the loop run until the condition is truthy."""
    loop = asyncio.get_running_loop()
    end = loop.time() + DEADLINE_S
    while not condition():
        if loop.time() >= end:
            raise NeverHappened(f"{what}: not within {DEADLINE_S:g} s")
        await asyncio.sleep(0.005)


def conversation_keys(secret: bytes = b"s" * 32) -> ConversationKeys:
    """Keys of a conversation that exists only in tests."""
    return ConversationKeys(
        secret, b"t" * 32, client_device="device", gateway="gateway", conversation_id="conversation"
    )


@dataclass
class Recorded:
    """Tunnel events in the order in which they came."""

    paths: list[str] = field(default_factory=list)
    opened: list[tuple[int, bytes]] = field(default_factory=list)
    ended: list[StreamReport] = field(default_factory=list)
    closes: list[tuple[CloseCode, str]] = field(default_factory=list)

    def path_up(self, kind: str, generation: int) -> None:
        self.paths.append(f"up {kind} {generation}")

    def path_lost(self, kind: str, reason: str) -> None:
        self.paths.append(f"lost {kind}")

    def path_narrow(self, kind: str, group: int) -> None:
        self.paths.append(f"narrow {kind}")

    def tunnel_interrupted(self, reason: str, *, gone: bool) -> None:
        self.paths.append(f"interrupted {'gone' if gone else 'silent'}")

    def tunnel_resumed(self, kind: str, after_s: float) -> None:
        self.paths.append(f"resumed {kind}")

    def stream_opened(self, stream: int, meta: bytes) -> None:
        self.opened.append((stream, meta))

    def stream_closed(self, report: StreamReport) -> None:
        self.ended.append(report)

    def tunnel_closed(self, code: CloseCode, reason: str) -> None:
        self.closes.append((code, reason))


@dataclass
class Tunnel:
    """Both ends, what they reported, and a local port for each target."""

    client: TunnelEnd
    gateway: TunnelEnd
    client_events: Recorded
    gateway_events: Recorded
    servers: list[asyncio.Server] = field(default_factory=list)

    async def port(self, target: str) -> int:
        """Open a local port whose connections go to `host:port`."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: self.client.pipe(target.encode()), "127.0.0.1", 0, backlog=1024
        )
        self.servers.append(server)
        number: int = server.sockets[0].getsockname()[1]
        return number

    async def close(self) -> None:
        """End everything."""
        for server in self.servers:
            server.close()
        await self.client.close()
        await self.gateway.close()


async def connect_named(meta: bytes, make_protocol: MakeProtocol) -> None:
    """Connect the `host:port` that a stream's meta holds."""
    host, _, port = meta.decode().rpartition(":")
    await connect_address(host, int(port), make_protocol)


@asynccontextmanager
async def joined(
    paths: tuple[Path, Path] | None = None,
    *,
    limits: TunnelLimits | None = None,
    connect: Connect = connect_named,
    clock: Clock | None = None,
) -> AsyncIterator[Tunnel]:
    """A verified tunnel; over memory unless paths are given."""
    client_path, gateway_path = paths or memory_paths()
    client_events, gateway_events = Recorded(), Recorded()
    client = TunnelEnd(
        Role.CLIENT, conversation_keys(), events=client_events, limits=limits, clock=clock
    )
    gateway = TunnelEnd(
        Role.GATEWAY,
        conversation_keys(),
        events=gateway_events,
        limits=limits,
        connect=connect,
        clock=clock,
    )
    await asyncio.gather(client.attach(client_path), gateway.attach(gateway_path))
    tunnel = Tunnel(client, gateway, client_events, gateway_events)
    try:
        yield tunnel
    finally:
        await tunnel.close()


class LossyPath(MemoryPath):
    """A path of which the kernel says that it is long and that each hundredth segment was lost."""

    segments = 0

    def tcp_counts(self) -> TcpCounts:
        lost = max(1, self.segments // 100)
        return TcpCounts(self.segments, lost, 0, 0, rtt_s=0.04, least_rtt_s=0.04)


def lossy_paths() -> tuple[LossyPath, LossyPath]:
    """The two ends of one; nothing is lost really."""
    rng = Random(0)
    one, two = (LossyPath(Faults(), rng, STREAM_MESSAGE_BYTES) for _ in range(2))
    one.connect(two)
    two.connect(one)
    return one, two


async def make_memory_paths() -> tuple[Path, Path]:
    """A path pair without faults."""
    return memory_paths(Faults())


class RelayServer:
    """Pairs two WebSocket connections of the same URL and copies binary messages, as the router does."""

    def __init__(self) -> None:
        self._waiting: dict[str, tuple[ServerConnection, asyncio.Future[ServerConnection]]] = {}
        self.connections: list[ServerConnection] = []

    async def handle(self, connection: ServerConnection) -> None:
        """Wait for the other side of the same URL, then copy what this one sends."""
        assert connection.request is not None
        name = connection.request.path
        self.connections.append(connection)
        if name in self._waiting:
            first, joined_by = self._waiting.pop(name)
            joined_by.set_result(connection)
            await self._copy(connection, first)
        else:
            joined_by = asyncio.get_running_loop().create_future()
            self._waiting[name] = connection, joined_by
            await self._copy(connection, await joined_by)

    async def _copy(self, source: ServerConnection, sink: ServerConnection) -> None:
        try:
            async for message in source:
                await sink.send(message)
        except ConnectionClosed:
            pass
        finally:
            await sink.close()


@asynccontextmanager
async def relay() -> AsyncIterator[tuple[RelayServer, MakePaths]]:
    """A relay on a free port, and a way to make path pairs through it."""
    server = RelayServer()
    names = iter(range(1_000_000))
    async with serve(server.handle, "127.0.0.1", 0, **RELAY_OPTIONS) as listening:
        port = next(iter(listening.sockets)).getsockname()[1]

        async def make() -> tuple[Path, Path]:
            url = f"ws://127.0.0.1:{port}/api/v1/relay/{next(names)}"
            one, two = [await websocket_connect(url, **RELAY_OPTIONS) for _ in range(2)]
            return WebSocketPath(one), WebSocketPath(two)

        yield server, make
