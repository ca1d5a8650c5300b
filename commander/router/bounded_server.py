"""
What uvicorn has to be told, so that a hostile WebSocket peer costs little.

Pass `UVICORN_OPTIONS` to `uvicorn.Config`, and run a `BoundedServer`. The protocol class closes what uvicorn leaves open:
endless empty fragments, floods of pings and pings of a peer that does not read the pongs, a stalled
peer that no close handshake reaches; and it does not take a peer for dead whose messages just arrived.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any, Final

import uvicorn
from uvicorn._types import ASGISendEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame
from websockets.http11 import Request

from commander.router.admission import Admission
from commander.router.limits import CLOSE_S
from commander.router.protocol import Allowance
from commander.router.sockets import ABORT_EXTENSION
from commander.wire.commands import ROUTED_LIMIT

MAX_MESSAGE_BYTES: Final = ROUTED_LIMIT
"""Control messages; a piece of a relay stream is smaller."""
MAX_FRAGMENTS: Final = 64
PINGS_PER_S: Final = 2.0
PINGS_BURST: Final = 20.0
"""Pings that a peer may send; honest ones send one every few seconds."""
PING_INTERVAL_S: Final = 8.0
PING_TIMEOUT_S: Final = 12.0
KEEP_ALIVE_S: Final = 10.0
"""How long a connection may be quiet between two requests. Ours, and Node's, use one again for five
seconds; a server that waited no longer closed some under a request that was on its way."""


class BoundedWebSocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket protocol with the bounds it lacks."""

    _heard_at = 0.0
    _early_bytes = 0
    _pings: Allowance | None = None

    def data_received(self, data: bytes) -> None:
        """Take bytes from the network, and note that the peer is alive."""
        self._heard_at = self.loop.time()
        if self.handshake_initiated and not self.handshake_complete:
            # Nobody reads them yet, so nothing slows the peer down.
            self._early_bytes += len(data)
            if self._early_bytes > MAX_MESSAGE_BYTES:
                self.transport.abort()
                return
        super().data_received(data)

    def handle_connect(self, event: Request) -> None:
        """Begin an upgrade; the application may cut the connection later."""
        super().handle_connect(event)
        scope = getattr(self, "scope", None)
        if scope is not None:
            extensions: dict[str, Any] = scope["extensions"]
            extensions[ABORT_EXTENSION] = self.transport.abort

    def handle_cont(self, event: Frame) -> None:
        """Take a fragment; an honest peer sends a message in few."""
        if len(self.frames) >= MAX_FRAGMENTS:
            self.conn.fail(1009, "too many fragments")
            self.handle_parser_exception()
            return
        super().handle_cont(event)

    def handle_ping(self) -> None:
        """Answer a ping, unless there are too many or the peer leaves our answers unread."""
        now = self.loop.time()
        if self._pings is None:
            self._pings = Allowance.full(PINGS_PER_S, PINGS_BURST, now)
        if not self.writable.is_set() or not self._pings.take(now):
            self.transport.abort()
            return
        super().handle_ping()

    async def send(self, message: ASGISendEvent) -> None:
        """Send for the application; a refused upgrade is an end like any other, not an error."""
        await super().send(message)
        if message["type"] == "websocket.http.response.body":
            self.handshake_complete = True
        elif message["type"] == "websocket.accept":
            self._forget_upgrade()

    def _forget_upgrade(self) -> None:
        """Let go of the request that opened the socket: nobody asks for it any more, for days."""
        headers = self.scope["headers"]
        if isinstance(headers, list):
            headers.clear()
        for name in ("request", "response"):
            self.__dict__.pop(name, None)

    def keepalive_timeout(self) -> None:
        """Give a silent peer up; a pong may just be stuck behind data that we let wait."""
        self.pong_timer = None
        if self.read_paused or self._heard_at > self.ping_sent_at:
            self.pending_ping_payload = None
            self.schedule_ping()
            return
        super().keepalive_timeout()
        self.loop.call_later(CLOSE_S, self.transport.abort)


class BoundedServer(uvicorn.Server):
    """Lets in few at a time where it ends TLS itself; run it with `serve(sockets)`."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept on the sockets."""
        if not self.config.ssl:
            await super().startup(sockets)
            return
        await super().startup([])
        for listener in sockets or ():
            admission = Admission(listener, self._make_protocol, self.config.ssl)
            admission.start()
            self.servers.append(admission)  # type: ignore[arg-type]  # closed as a server is, no more

    def _make_protocol(self) -> asyncio.BaseProtocol:
        protocol: asyncio.BaseProtocol = self.config.http_protocol_class(  # type: ignore[call-arg]  # as uvicorn itself
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return protocol


UVICORN_OPTIONS: Final[dict[str, Any]] = {
    "timeout_keep_alive": KEEP_ALIVE_S,
    "ws": BoundedWebSocketProtocol,
    "ws_max_size": MAX_MESSAGE_BYTES,
    "ws_per_message_deflate": False,
    "ws_ping_interval": PING_INTERVAL_S,
    "ws_ping_timeout": PING_TIMEOUT_S,
    "proxy_headers": False,
}
