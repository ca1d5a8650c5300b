"""
A tunnel from `Hosting` to the gateway's service in one loop: real commands, checks, keys, engines
and keeper; the router is a few lines, and the kinds of path are memory that a test can break.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path as FilePath

from websockets.exceptions import ConnectionClosedError

from commander.api.client import Api, Caller
from commander.api.socket import RouterSocket
from commander.api.transport import HttpAnswer, NotSent
from commander.clock import ManualClock, SystemClock
from commander.codec import encode
from commander.config.paths import Paths
from commander.crypto.box import BoxPrivateKey
from commander.crypto.signing import SigningKey
from commander.errors import NotLoggedIn, Unreachable
from commander.hosting.conversation import Accepted, Position, TunnelRequest
from commander.hosting.host import Hosting, Link, StartOptions
from commander.hosting.hosted import HostedTunnel
from commander.hosting.journal import Follower, Value
from commander.hosting.paths import BeginKind, KindAttempt, PathNetwork
from commander.tunnel.path import Binding, Path
from commander.tunnel.transports.memory import MemoryPath, memory_paths
from commander.vault.opening import tunnel_seed
from commander.wire.commands import (
    Deliver,
    Hello,
    Offer,
    Send,
    TunnelParameters,
    Undeliverable,
    read_routed,
)
from commander.wire.known_server import KnownServer
from tests.support.gateway_world import Running, World
from tests.support.tunnels import eventually

SERVER = KnownServer(
    "vault.example:8443", "u" * 22, SigningKey(bytes(32)).public.raw,
    BoxPrivateKey.generate().public.raw, "",
)  # fmt: skip


class RunningClock(ManualClock):
    """A clock of a test world that goes on by itself, too."""

    def __init__(self, now: float) -> None:
        super().__init__(now)
        self._begun = time.monotonic()

    def now(self) -> float:
        return super().now() + time.monotonic() - self._begun

    def monotonic(self) -> float:
        return super().monotonic() + time.monotonic() - self._begun


class NoTransport:
    """No call is made."""

    async def post(self, path: str, body: bytes, *, timeout_s: float) -> HttpAnswer:
        raise NotSent("there is no network")

    async def get(self, path: str, *, timeout_s: float) -> HttpAnswer:
        raise NotSent("there is no network")

    async def close(self) -> None:
        """Nothing is open."""


class Switchboard:
    """
    Kinds of path in memory, for both ends; fits the gateway's `PathKinds`.

    A kind in `down` comes up at neither end; `cut` breaks what lives, silently or with a word.
    """

    def __init__(self, *supported: str) -> None:
        self.supported = supported
        self.down: set[str] = set()
        self.mispair = 0
        """So many ends that ask next get an end of somebody else, where one waits."""
        self.mispaired = 0
        self.pairs: list[tuple[MemoryPath, MemoryPath]] = []
        self._waiting: dict[tuple[str, str, int], MemoryPath] = {}

    async def prepare(self, kind: str, conversation: str, offer: Offer) -> _Plan:
        """The gateway's side."""
        return _Plan(self, kind, conversation)

    def kinds(self) -> dict[str, BeginKind]:
        """The client's side."""
        return {kind: self._begin(kind) for kind in self.supported}

    def _begin(self, kind: str) -> BeginKind:
        async def begin(network: PathNetwork) -> KindAttempt:
            return _Kind(self, kind)

        return begin

    def end(self, kind: str, conversation: str, carrier: int) -> MemoryPath:
        """One end of a carrier: whoever asks second gets the other."""
        if kind in self.down:
            raise Unreachable(f"{kind} is down")
        key = (kind, conversation, carrier)
        if self.mispair:
            self.mispair -= 1
            strangers = [other for other in self._waiting if other[1] != conversation]
            key = strangers[0] if strangers else (kind, f"{conversation} {self.mispair}", carrier)
            self.mispaired += bool(strangers)
        other = self._waiting.pop(key, None)
        if other is not None:
            return other
        one, two = memory_paths()
        for end in (one, two):
            end.kind = kind
        self.pairs.append((one, two))
        self._waiting[key] = two
        return one

    async def cut(self, *kinds: str) -> None:
        """Break every living path of these kinds, with both ends told."""
        for one, two in self.pairs:
            if one.kind in kinds:
                await one.close("cut")
                await two.close("cut")
        self.pairs = [pair for pair in self.pairs if pair[0].kind not in kinds]


class _Plan:
    answer = b""

    def __init__(self, board: Switchboard, kind: str, conversation: str) -> None:
        self._board, self._kind, self._conversation = board, kind, conversation

    async def make(self, carrier: int) -> tuple[Path, Binding]:
        return self._board.end(self._kind, self._conversation, carrier), Binding()

    async def close(self) -> None:
        """Nothing is open."""


class _Kind:
    offer = b""

    def __init__(self, board: Switchboard, kind: str) -> None:
        self._board, self._kind = board, kind

    async def make(self, accepted: Accepted, carrier: int) -> tuple[Path, Binding]:
        return self._board.end(self._kind, accepted.conversation, carrier), Binding()

    async def close(self) -> None:
        """Nothing is open."""


class Router:
    """Hands commands to the gateway's service, and its replies back; a test takes either away."""

    def __init__(self, running: Running) -> None:
        self.running: Running | None = running
        self.is_up = True
        self.is_signed_out = False
        self.commands: list[Send] = []
        self._carriers: set[Carrier] = set()

    async def connect(self, api: Api, environment: Mapping[str, str]) -> Carrier:
        """A device's control connection."""
        if self.is_signed_out:
            raise NotLoggedIn("no such session")
        if not self.is_up:
            raise Unreachable("the server is down")
        carrier = Carrier(self)
        self._carriers.add(carrier)
        return carrier

    def take_down(self) -> None:
        """Close all connections and open no more."""
        self.is_up = False
        for carrier in self._carriers:
            carrier.put(None)
        self._carriers.clear()

    async def judge(self, carrier: Carrier, send: Send) -> None:
        """Pass a command on."""
        self.commands.append(send)
        if self.running is None:
            told = Undeliverable(send.conversation, "gateway-offline", "not connected")
            carrier.put(encode(told))
            return
        message = Deliver(send.conversation, self.running.world.bob.device, send.payload)
        reply = await self.running.service.handle(message)
        self.reply(carrier, Deliver(reply.conversation, send.to, reply.payload))

    def reply(self, carrier: Carrier, deliver: Deliver) -> None:
        """Pass a gateway's reply on."""
        carrier.put(encode(deliver))


class Carrier:
    """One control connection of a device; fits `api.socket.Carrier`."""

    def __init__(self, router: Router) -> None:
        self._router = router
        self._inbox: deque[bytes | None] = deque()
        self._news = asyncio.Event()
        self._judging: set[asyncio.Task[None]] = set()

    def put(self, data: bytes | None) -> None:
        self._inbox.append(data)
        self._news.set()

    async def send(self, message: bytes) -> None:
        routed = read_routed(message)
        if isinstance(routed, Hello):
            return
        assert isinstance(routed, Send)
        task = asyncio.create_task(self._router.judge(self, routed))
        self._judging.add(task)
        task.add_done_callback(self._judging.discard)

    async def __aiter__(self) -> AsyncIterator[str | bytes]:
        while True:
            while not self._inbox:
                self._news.clear()
                await self._news.wait()
            data = self._inbox.popleft()
            if data is None:
                raise ConnectionClosedError(None, None)
            yield data

    async def ping(self) -> Awaitable[float]:
        pong: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        if self._router.is_up:
            pong.set_result(0.0)
        return pong

    async def close(self) -> None:
        """Nothing is open."""


@dataclass
class Kept:
    """Both sides, and what the user was told."""

    world: World
    running: Running
    router: Router
    board: Switchboard
    hosting: Hosting
    paths: Paths
    notices: list[str] = field(default_factory=list)

    def sign_in(self) -> None:
        """Bob logs in, again: a new session of the same device."""
        caller = Caller(self.world.bob.device, "session", self.world.bob.device_key)
        api = Api(NoTransport(), SERVER, clock=SystemClock(), caller=caller)
        socket = RouterSocket(
            api, {}, clock=SystemClock(), version="1", connect=self.router.connect
        )
        socket.start()
        state = self.world.enterprise.state
        self.hosting.use(Link(api, {}, lambda: Position(state.seq, state.head), "1", socket))

    async def start(self, path: str = "auto", **changes: object) -> HostedTunnel:
        """Start a tunnel to the world's record."""
        options = StartOptions(path=path, new=True, reuse_port=False)
        return await self.hosting.start(request_of(self.world, **changes), options)

    def log(self, tunnel: HostedTunnel, *events: str) -> list[dict[str, Value]]:
        """The tunnel's log: these events, or all of it."""
        follower = Follower(self.paths.tunnel_log(tunnel.uid))
        try:
            lines = list(follower.new_lines())
        finally:
            follower.close()
        return [line for line in lines if not events or line["event"] in events]

    async def resumed(self, tunnel: HostedTunnel) -> None:
        """Wait until the tunnel was interrupted and has a path again."""
        await eventually(lambda: self.log(tunnel, "resumed"), "the tunnel resumes")

    async def ended(self, tunnel: HostedTunnel) -> tuple[str, str]:
        """Wait for the tunnel's end; its code and reason."""
        await eventually(tunnel.end.closed.done, "the tunnel ends")
        closed = tunnel.end.closed.result()
        return closed.code.label, closed.reason


def request_of(world: World, **changes: object) -> TunnelRequest:
    """What Bob's vault would say of the world's record."""
    fields: dict[str, object] = {
        "record": world.record.uid,
        "title": "Orders",
        "record_revision": world.record.revision,
        "settings_revision": world.record.settings_revision,
        "remote": "127.0.0.1:5432",
        "gateway": world.gateway,
        "gateway_sign_key": world.gateway_key.public.raw,
        "gateway_box_key": world.gateway_box.public.raw,
        "device": world.bob.device,
        "user": world.bob.user,
        "device_key": world.bob.device_key,
        "tunnel_seed": tunnel_seed(world.record.record_key),
        "parameters": TunnelParameters("", 0, "", ""),
        **changes,
    }
    return TunnelRequest(**fields)  # type: ignore[arg-type]  # fields by name


@asynccontextmanager
async def kept(world: World, directory: FilePath, *kinds: str) -> AsyncIterator[Kept]:
    """Everything up; `kinds` that both ends can (default: relay and direct)."""
    world.clock = RunningClock(world.clock.now())
    board = Switchboard(*(kinds or ("relay", "direct")))
    world.kinds = board  # type: ignore[assignment]  # another PathKinds
    running = await world.service()
    router = Router(running)
    paths = Paths(home=directory / "home", runtime=directory / "run")
    notices: list[str] = []
    hosting = Hosting(paths, world.clock, notify=notices.append, kinds=board.kinds())
    it = Kept(world, running, router, board, hosting, paths, notices)
    it.sign_in()
    try:
        yield it
    finally:
        await hosting.close_all("the test is over")
        await running.service.close()
