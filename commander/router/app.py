"""Puts the router together: its routes, and what a new log head sets in motion."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable

from starlette.routing import BaseRoute, WebSocketRoute
from starlette.websockets import WebSocket

from commander import tasks
from commander.authority.decide import Refuse
from commander.authority.refusals import Code
from commander.clock import Clock
from commander.codec import encode
from commander.errors import InvalidInput, Refused
from commander.ids import is_uid
from commander.router import limits
from commander.router.control import Control
from commander.router.ports import Gatekeeper, Journal, Principal
from commander.router.protocol import CloseCode
from commander.router.registry import Connection, Registry
from commander.router.relay import RelayTable, WebSocketLeg
from commander.router.routing import PEER_UNKNOWN, TOO_MANY, Conversations
from commander.router.sockets import (
    SOCKET_ENDED,
    authorise,
    deny,
    peer_address,
    status_of,
)
from commander.router.stream import StreamConnection, StreamDoor, StreamLeg
from commander.wire.calls import RELAY_PATH, RELAY_SUBPROTOCOL, ROUTER_PATH, ROUTER_SUBPROTOCOL
from commander.wire.commands import Head
from commander.wire.relay import RelayAnswer, RelayPrefix
from commander.wire.requests import read_header

_log = logging.getLogger(__name__)


class Router:
    """
    The router of one process. Add `build_routes(router)` to the application, `start` it in the
    event loop, `close` it at the end. `registry` tells which gateways are online, `refused` how
    often an upgrade was refused, by code.
    """

    def __init__(self, *, gatekeeper: Gatekeeper, journal: Journal, clock: Clock) -> None:
        self.registry = Registry()
        self.conversations = Conversations()
        self.relays = RelayTable()
        self.streams = StreamDoor()
        self.refused: Counter[str] = Counter()
        self.control = Control(
            gatekeeper=gatekeeper,
            journal=journal,
            registry=self.registry,
            conversations=self.conversations,
            clock=clock,
        )
        self._gatekeeper = gatekeeper
        self._clock = clock
        self._moved = asyncio.Event()
        self._unsubscribe: Callable[[], None] | None = None
        self._announcer: asyncio.Task[None] | None = None
        self._sweeper: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to announce new heads; idempotent."""
        if self._announcer is None:
            self._unsubscribe = self._gatekeeper.subscribe(self._head_moved)
            self._announcer = tasks.spawn(self._announce_heads(), name="router-heads")
            self._sweeper = tasks.spawn(self._sweep(), name="router-sweep")

    async def close(self) -> None:
        """Close every socket with 1012 (clients come back), and stop announcing; idempotent."""
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
        await tasks.cancel_and_wait(self._announcer, self._sweeper)
        for connection in self.registry:
            connection.close(CloseCode.RESTART, "restart")
        for leg in self.relays:
            leg.close(CloseCode.RESTART, "restart")
        self.streams.close()

    async def serve_control(self, websocket: WebSocket) -> None:
        """The endpoint `/api/v1/router`."""
        principal = await self._admit(websocket, ROUTER_SUBPROTOCOL)
        if principal is None:
            return
        connection = Connection(
            websocket, principal, peer_address(websocket), int(self._clock.now())
        )
        await self.control.serve(websocket, connection)

    async def serve_relay(self, websocket: WebSocket) -> None:
        """The endpoint `/api/v1/relay/<conversation>`."""
        uid = websocket.path_params["conversation"]
        principal = await self._admit(websocket, RELAY_SUBPROTOCOL, relay=uid)
        if principal is None:
            return
        conversation = self.conversations.get(uid, principal.uid)
        # Between check and upgrade the peer may have left or the conversation been dropped.
        if conversation is None:
            await websocket.close(CloseCode.PEER_GONE, str(Code.PEER_UNKNOWN))
            return
        self.conversations.touch(uid, self._clock.monotonic())
        await self.relays.serve(WebSocketLeg(websocket, principal), uid, conversation)

    def accept_stream(self) -> StreamConnection:
        """Make the protocol of a connection that will be one side of a relay; for `create_server`."""
        return self.streams.accept(self._stream_opened)

    def _stream_opened(self, connection: StreamConnection, prefix: RelayPrefix) -> None:
        tasks.spawn(self._serve_stream(connection, prefix), name="relay-stream")

    async def _serve_stream(self, connection: StreamConnection, prefix: RelayPrefix) -> None:
        uid = prefix.conversation
        try:
            principal = await self._judge_stream(connection, prefix)
        except Refused as error:
            self.refused[error.code] += 1
            connection.refuse(RelayAnswer(status_of(error.code), error.code))
            return
        except BaseException:
            connection.abort()
            raise
        conversation = self.conversations.get(uid, principal.uid)
        assert conversation is not None  # judged, and nothing was awaited since
        connection.accept()
        self.conversations.touch(uid, self._clock.monotonic())
        await self.relays.serve(StreamLeg(connection, principal), uid, conversation)

    async def _judge_stream(self, connection: StreamConnection, prefix: RelayPrefix) -> Principal:
        """The same questions as at an upgrade, in the same order. Raises Refused."""
        if self._is_full():
            raise Refused("the server has too many connections", code=Code.TOO_MANY_REQUESTS)
        try:
            request = read_header(prefix.authorization)
        except InvalidInput as error:
            raise Refused(error.message, code=Code.REQUEST_MALFORMED) from None
        path = RELAY_PATH + prefix.conversation
        principal = await self._gatekeeper.authenticate(
            request, method="GET", path=path, address=connection.address
        )
        refusal = self._judge_relay(prefix.conversation, principal)
        if refusal is not None:
            raise Refused(refusal.reason, code=refusal.code)
        return principal

    def _is_full(self) -> bool:
        return len(self.registry) + len(self.relays) >= limits.MAX_SOCKETS

    async def _admit(
        self, websocket: WebSocket, subprotocol: str, *, relay: str | None = None
    ) -> Principal | None:
        if self._is_full():
            self.refused[Code.TOO_MANY_REQUESTS] += 1
            await deny(websocket, Code.TOO_MANY_REQUESTS, "the server has too many connections")
            return None
        principal = await authorise(
            websocket, self._gatekeeper, subprotocol=subprotocol, refused=self.refused
        )
        if principal is None:
            return None
        refusal = None if relay is None else self._judge_relay(relay, principal)
        if refusal is not None:
            self.refused[refusal.code] += 1
            await deny(websocket, refusal.code, refusal.reason)
            return None
        try:
            await websocket.accept(subprotocol)
        except SOCKET_ENDED:
            return None
        return principal

    def _judge_relay(self, uid: str, principal: Principal) -> Refuse | None:
        if not is_uid(uid) or self.conversations.get(uid, principal.uid) is None:
            return PEER_UNKNOWN
        return None if self.relays.may_wait(principal) else TOO_MANY

    def _head_moved(self, head: Head) -> None:
        self._moved.set()

    async def _announce_heads(self) -> None:
        while True:
            await self._moved.wait()
            self._moved.clear()
            try:
                await self._announce(self._gatekeeper.head())
            except Exception:  # noqa: BLE001  top of a task; the next head tries again
                _log.exception("a head could not be announced")

    async def _announce(self, head: Head) -> None:
        message = encode(head)
        # Gateways first: they are the ones that end tunnels.
        connections = sorted(self.registry, key=lambda c: c.principal.kind != "gateway")
        for number, connection in enumerate(connections, 1):
            connection.enqueue(message)
            if number % limits.HEAD_BATCH == 0:
                await asyncio.sleep(0)
        await self._drop_revoked()

    async def _drop_revoked(self, *, pause_s: float = 0.0) -> None:
        principals = {c.principal for c in self.registry} | {leg.principal for leg in self.relays}
        waiting = list(principals)
        while waiting:
            batch, waiting = waiting[: limits.JUDGE_BATCH], waiting[limits.JUDGE_BATCH :]
            for principal, refusal in await self._gatekeeper.revoked(batch):
                self._drop(principal, str(refusal.code))
            await asyncio.sleep(pause_s)

    def _drop(self, principal: Principal, code: str) -> None:
        for connection in self.registry.of(principal.uid):
            if connection.principal == principal:
                connection.close(CloseCode.REVOKED, code)
        for leg in self.relays:
            if leg.principal == principal:
                leg.close(CloseCode.REVOKED, code)
        if all(connection.closed for connection in self.registry.of(principal.uid)):
            self.conversations.forget_principal(principal.uid)

    async def _sweep(self) -> None:
        """Sessions end also without a new head: by logout, or by time."""
        while True:
            await asyncio.sleep(limits.SWEEP_S)
            try:
                await self._drop_revoked(pause_s=limits.SWEEP_PAUSE_S)
            except Exception:  # noqa: BLE001  top of a task; the next round tries again
                _log.exception("sockets could not be judged")


def build_routes(router: Router) -> list[BaseRoute]:
    """The routes to add to the server's application."""
    return [
        WebSocketRoute(ROUTER_PATH, router.serve_control),
        WebSocketRoute(RELAY_PATH + "{conversation}", router.serve_relay),
    ]
