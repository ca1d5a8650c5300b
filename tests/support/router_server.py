"""A router on port 0 with a gatekeeper that checks signatures against keys a test certified."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from socket import create_server

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from commander.authority.decide import Refuse
from commander.authority.refusals import Code
from commander.clock import Clock, SystemClock
from commander.codec import encode
from commander.crypto.signing import SigningKey
from commander.errors import Refused, SealBroken
from commander.ids import new_uid
from commander.router.app import Router, build_routes
from commander.router.bounded_server import UVICORN_OPTIONS, BoundedServer
from commander.router.ports import Principal
from commander.router.stream_door import choosing_protocol, open_relay_port
from commander.tasks import spawn
from commander.wire.calls import RELAY_PATH, RELAY_SUBPROTOCOL, ROUTER_PATH, ROUTER_SUBPROTOCOL
from commander.wire.commands import Head, Hello, Routed, Send, read_routed
from commander.wire.requests import (
    FRESH_S,
    HEADER,
    SignedRequest,
    sign_request,
    verify_request,
    write_header,
)


@dataclass
class Peer:
    """A device or gateway and its key."""

    principal: Principal
    key: SigningKey = field(default_factory=SigningKey.generate)

    @property
    def uid(self) -> str:
        return self.principal.uid


class Gate:
    """A gatekeeper over two tables: certified peers, and which device may open which gateway."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.peers: dict[str, Peer] = {}
        self.allowed: set[tuple[str, str]] = set()
        self.verdicts: dict[str, Refuse] = {}
        self.gone: dict[str, Refuse] = {}
        self.at = Head(0, bytes(32))
        self.asked = asyncio.Event()
        self.hold = asyncio.Event()
        self.hold.set()
        self._nonces: set[bytes] = set()
        self._subscribers: list[Callable[[Head], None]] = []

    def device(self) -> Peer:
        """Certify a new device."""
        return self._certify(Principal(new_uid(), "device", new_uid(), "session"))

    def gateway(self) -> Peer:
        """Certify a new gateway."""
        return self._certify(Principal(new_uid(), "gateway", new_uid()))

    def _certify(self, principal: Principal) -> Peer:
        peer = self.peers[principal.uid] = Peer(principal)
        return peer

    def allow(self, device: Peer, gateway: Peer) -> None:
        """Let a device talk to a gateway."""
        self.allowed.add((device.uid, gateway.uid))

    def revoke(self, peer: Peer) -> None:
        """End a peer's certificate and move the head."""
        self.gone[peer.uid] = Refuse(Code.DEVICE_REVOKED, f"device {peer.uid} was revoked")
        self.move_head()

    def move_head(self) -> None:
        """Tell subscribers of a new head."""
        self.at = Head(self.at.seq + 1, secrets.token_bytes(32))
        for moved in self._subscribers:
            moved(self.at)

    async def authenticate(
        self, request: SignedRequest, *, method: str, path: str, address: str
    ) -> Principal:
        self.asked.set()
        await self.hold.wait()
        peer = self.peers.get(request.principal)
        if peer is None or peer.uid in self.gone:
            raise Refused("not known", code=Code.DEVICE_UNKNOWN)
        try:
            verify_request(request, peer.key.public, method=method, path=path)
        except SealBroken:
            raise Refused("not signed", code=Code.REQUEST_SIGNATURE) from None
        if abs(self._clock.now() - request.time) > FRESH_S:
            raise Refused("stale", code=Code.REQUEST_STALE)
        if request.nonce in self._nonces:
            raise Refused("replayed", code=Code.REQUEST_REPLAYED)
        self._nonces.add(request.nonce)
        return peer.principal

    async def may_open(self, device: str, gateway: str) -> Refuse | None:
        if device in self.verdicts:
            return self.verdicts[device]
        if (device, gateway) in self.allowed:
            return None
        return Refuse(Code.OBJECT_UNKNOWN, f"gateway {gateway} is not known")

    async def revoked(self, principals: Sequence[Principal]) -> Sequence[tuple[Principal, Refuse]]:
        return [(p, self.gone[p.uid]) for p in principals if p.uid in self.gone]

    def head(self) -> Head:
        return self.at

    def subscribe(self, moved: Callable[[Head], None]) -> Callable[[], None]:
        self._subscribers.append(moved)
        return lambda: self._subscribers.remove(moved)


class Notes:
    """A journal that keeps what it is told."""

    def __init__(self) -> None:
        self.fenced: list[Principal] = []
        self.refused: list[Refuse] = []

    async def connection_fenced(self, principal: Principal, *, old: str, new: str) -> None:
        self.fenced.append(principal)

    async def command_refused(
        self, principal: Principal, *, to: str, conversation: str, refusal: Refuse
    ) -> None:
        self.refused.append(refusal)


@dataclass
class RouterServer:
    """A running router."""

    router: Router
    gate: Gate
    notes: Notes
    port: int
    clock: Clock
    plain_relay_port: int
    trust: ssl.SSLContext | None = None
    sockets: list[ClientConnection] = field(default_factory=list)

    def header(self, peer: Peer, path: str, *, time: int | None = None) -> str:
        """A fresh authorization for an upgrade."""
        request = sign_request(
            peer.key, method="GET", path=path, principal=peer.uid,
            session=peer.principal.session, time=int(self.clock.now()) if time is None else time,
            body=b"",
        )  # fmt: skip
        return write_header(request)

    async def dial(
        self,
        path: str,
        header: str | None,
        *,
        subprotocol: str = ROUTER_SUBPROTOCOL,
        origin: str | None = None,
        compression: str | None = None,
    ) -> ClientConnection:
        """Dial with full freedom over what is sent."""
        headers = {} if header is None else {HEADER: header}
        if origin is not None:
            headers["Origin"] = origin
        socket = await connect(
            f"{'wss' if self.trust else 'ws'}://127.0.0.1:{self.port}{path}",
            ssl=self.trust,
            additional_headers=headers,
            subprotocols=[Subprotocol(subprotocol)] if subprotocol else None,
            compression=compression,
            proxy=None,
        )
        self.sockets.append(socket)
        return socket

    async def introduce(self) -> tuple[Peer, Peer, str]:
        """A device whose first message was delivered to a gateway, and their conversation."""
        device, gateway = self.gate.device(), self.gate.gateway()
        self.gate.allow(device, gateway)
        there, here = await self.control(gateway), await self.control(device)
        conversation = new_uid()
        await here.send(encode(Send(conversation, gateway.uid, b"command")))
        await receive(there)
        return device, gateway, conversation

    async def control(self, peer: Peer, *, version: str = "1.2.3") -> ClientConnection:
        """A greeted control socket; its first message, the head, is read."""
        socket = await self.dial(ROUTER_PATH, self.header(peer, ROUTER_PATH))
        await socket.send(encode(Hello(version, "")))
        assert isinstance(await receive(socket), Head)
        return socket

    async def relay(self, peer: Peer, conversation: str) -> ClientConnection:
        """One side of a relay."""
        path = RELAY_PATH + conversation
        return await self.dial(path, self.header(peer, path), subprotocol=RELAY_SUBPROTOCOL)


async def closed_with(socket: ClientConnection) -> tuple[int, str]:
    """Read until the server closes; its code and reason."""
    async with asyncio.timeout(20):
        with contextlib.suppress(ConnectionClosed):
            while True:
                await socket.recv()
    return socket.close_code or 1006, socket.close_reason or ""


async def receive(socket: ClientConnection) -> Routed:
    """The next control message."""
    async with asyncio.timeout(20):
        data = await socket.recv(decode=False)
    return read_routed(data)


@asynccontextmanager
async def router_server(
    *,
    tls: ssl.SSLContext | None = None,
    trust: ssl.SSLContext | None = None,
) -> AsyncIterator[RouterServer]:
    """Run a router in this event loop; with TLS, `trust` is what its own clients verify it by."""
    clock = SystemClock()
    gate, notes = Gate(clock), Notes()
    router = Router(gatekeeper=gate, journal=notes, clock=clock)
    app = Starlette(routes=build_routes(router))
    config = uvicorn.Config(
        app,
        log_config=None,
        lifespan="off",
        http=choosing_protocol(H11Protocol, router.accept_stream),
        ssl_context_factory=None if tls is None else lambda _config, _default: tls,
        **UVICORN_OPTIONS,
    )
    server = BoundedServer(config)
    listener = create_server(("127.0.0.1", 0))
    router.start()
    # `serve` would take over the signals of the test run.
    serving = spawn(server._serve([listener]), name="uvicorn")
    while not server.started:
        await asyncio.sleep(0.01)
    port = listener.getsockname()[1]
    relays = create_server(("127.0.0.1", 0))
    streams = await open_relay_port(relays, router.accept_stream, None)
    relay_port = relays.getsockname()[1]
    running = RouterServer(router, gate, notes, port, clock, relay_port, trust)
    try:
        yield running
    finally:
        for socket in running.sockets:
            socket.transport.abort()
            await socket.wait_closed()
        await router.close()
        streams.close()
        server.should_exit = True
        await serving
