"""What a gateway opens towards its server: calls, records, control socket, relay paths."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from commander.api.bootstrap import open_transport
from commander.api.client import Api, Caller
from commander.api.proxy import choose_proxy
from commander.api.relay import RelayOpener, RelayStream
from commander.api.tls import turn_context
from commander.api.websocket import open_router
from commander.clock import Clock
from commander.errors import Unreachable
from commander.gateway.agent import ControlSocket, SocketClosed
from commander.gateway.enrolment import known_server
from commander.gateway.ksm_client import SecretsManagerClient
from commander.gateway.limits import FETCH_S
from commander.ksm.config import GatewayConfig
from commander.tunnel.path import Path
from commander.tunnel.transports.stream_relay import StreamRelayPath
from commander.tunnel.transports.websocket import WebSocketPath
from commander.wire.calls import (
    AUDIT_APPEND,
    ICE,
    LOG,
    AuditAppend,
    Empty,
    IceAnswer,
    LogAnswer,
    LogRequest,
)

SEND_S = 10.0
CLOSE_S = 3.0


class WebSocketControl:
    """Fits `agent.ControlSocket` over a WebSocket."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    async def send(self, data: bytes) -> None:
        """Send one message."""
        try:
            async with asyncio.timeout(SEND_S):
                await self._connection.send(data)
        except (ConnectionClosed, TimeoutError) as error:
            raise Unreachable("the connection to the router broke") from error

    async def receive(self) -> bytes:
        """The next message; text counts as a breach."""
        try:
            data = await self._connection.recv()
        except ConnectionClosed as closed:
            received = closed.rcvd
            code, reason = (received.code, received.reason) if received else (1006, "lost")
            raise SocketClosed(code, reason) from None
        return data if isinstance(data, bytes) else b""

    async def ping(self, *, within_s: float) -> None:
        """Cut the connection when there is no answer, so that nobody waits for it."""
        try:
            async with asyncio.timeout(within_s):
                await (await self._connection.ping())
        except (ConnectionClosed, TimeoutError) as error:
            self._connection.transport.abort()
            raise Unreachable("the router does not answer") from error

    async def close(self) -> None:
        """Close it."""
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._connection.close()
        except TimeoutError:
            self._connection.transport.abort()


class Network:
    """All connections of one gateway to its server; close it at the end."""

    def __init__(
        self, config: GatewayConfig, *, environment: Mapping[str, str], clock: Clock
    ) -> None:
        server = known_server(config)
        identity = config.identity
        self.environment = environment
        self._api = Api(
            open_transport(server, environment),
            server,
            clock=clock,
            caller=Caller(identity.gateway, "", identity.signing_key),
        )
        self.relay_tls = turn_context(server.ca)
        self._relays = RelayOpener(self._api, environment)
        self.records = SecretsManagerClient(
            config.device,
            ca=identity.ca_pem,
            proxy=choose_proxy(environment, config.device.hostname),
        )

    async def read_log(self, since: int) -> LogAnswer:
        """Statements after a position."""
        return await self._api.call(LOG, LogRequest(since), timeout_s=FETCH_S)

    async def upload_audit(self, events: tuple[bytes, ...]) -> int:
        """Store audit entries; returns the last stored sequence."""
        return (await self._api.call(AUDIT_APPEND, AuditAppend(events))).stored_seq

    async def connect_control(self) -> ControlSocket:
        """A new control socket."""
        return WebSocketControl(await open_router(self._api, self.environment))

    async def open_relay(self, conversation: str) -> Path:
        """Our side of a conversation's relay."""
        opened = await self._relays.open(conversation)
        if isinstance(opened, RelayStream):
            return StreamRelayPath(opened.transport, opened.early)
        return WebSocketPath(opened)

    async def ask_for_relays(self) -> IceAnswer:
        """STUN and TURN servers for one WebRTC path."""
        return await self._api.call(ICE, Empty(), timeout_s=FETCH_S)

    async def close(self) -> None:
        """Close everything; idempotent."""
        await self._api.close()
        await self.records.close()
