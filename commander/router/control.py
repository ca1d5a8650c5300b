"""The control endpoint: greet, then pass messages on until the socket ends."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict

from starlette.websockets import WebSocket, WebSocketDisconnect

from commander.authority.decide import Refuse
from commander.clock import Clock
from commander.codec import encode
from commander.router import limits
from commander.router.ports import Gatekeeper, Journal
from commander.router.protocol import Allowance, CloseCode, ControlProtocol, PeerMistake
from commander.router.registry import Connection, Registry
from commander.router.routing import (
    GATEWAY_OFFLINE,
    PEER_UNKNOWN,
    TOO_MANY,
    Conversations,
    choose_route,
)
from commander.router.sockets import read_message
from commander.wire.commands import Deliver, Hello, Send, Undeliverable


class Control:
    """Serves control sockets; `counters` says how they ended and what became of messages."""

    def __init__(
        self,
        *,
        gatekeeper: Gatekeeper,
        journal: Journal,
        registry: Registry,
        conversations: Conversations,
        clock: Clock,
    ) -> None:
        self._gatekeeper = gatekeeper
        self._journal = journal
        self._registry = registry
        self._conversations = conversations
        self._clock = clock
        # Which of a device's sockets speaks in a conversation; answers go there.
        self._speakers: OrderedDict[str, Connection] = OrderedDict()
        self.counters: Counter[str] = Counter()

    async def serve(self, websocket: WebSocket, connection: Connection) -> None:
        """Run one accepted socket to its end; the caller has authorised it."""
        protocol = ControlProtocol()
        try:
            hello = protocol.receive(await read_first(websocket))
            assert isinstance(hello, Hello)
            await self._admit(connection, hello)
            await self._pass_on(websocket, connection, protocol)
        except PeerMistake as error:
            self.counters["peer-mistake"] += 1
            connection.close(error.close_code, error.message[:100])
        except TimeoutError:
            self.counters["no-hello"] += 1
            connection.close(CloseCode.POLICY, "no hello")
        except WebSocketDisconnect:
            self.counters["closed"] += 1
        finally:
            connection.drop()
            self._registry.remove(connection)
            self.counters["slow-reader"] += connection.is_slow
        await connection.wait_closed()

    async def _admit(self, connection: Connection, hello: Hello) -> None:
        connection.version = hello.version
        fenced = self._registry.add(connection)
        connection.enqueue(encode(self._gatekeeper.head()))
        if fenced is not None:
            self.counters["fenced"] += 1
            fenced.close(CloseCode.FENCED, "fenced")
            await self._journal.connection_fenced(
                connection.principal, old=fenced.address, new=connection.address
            )

    async def _pass_on(
        self, websocket: WebSocket, connection: Connection, protocol: ControlProtocol
    ) -> None:
        is_gateway = connection.principal.kind == "gateway"
        allowance = Allowance.full(
            limits.GATEWAY_SENDS_PER_S if is_gateway else limits.SENDS_PER_S,
            limits.GATEWAY_SENDS_BURST if is_gateway else limits.SENDS_BURST,
            self._clock.monotonic(),
        )
        while not connection.closed:
            send = protocol.receive(await read_message(websocket))
            if not isinstance(send, Send):
                raise PeerMistake("a second hello")
            if allowance.take(self._clock.monotonic()):
                refusal = await self._route(connection, send)
            else:
                refusal = TOO_MANY
            self.counters["delivered" if refusal is None else str(refusal.code)] += 1
            if refusal is not None:
                told = Undeliverable(send.conversation, refusal.code, refusal.reason)
                connection.enqueue(encode(told))

    async def _route(self, connection: Connection, send: Send) -> Refuse | None:
        sender = connection.principal
        verdict = None
        if sender.kind == "device":
            # A session may have ended since the upgrade: nothing new begins with it.
            for _, gone in await self._gatekeeper.revoked([sender]):
                connection.close(CloseCode.REVOKED, str(gone.code))
                return gone
            verdict = await self._gatekeeper.may_open(sender.uid, send.to)
            if verdict is not None:
                await self._journal.command_refused(
                    sender, to=send.to, conversation=send.conversation, refusal=verdict
                )
        addressee = self._addressee(sender.kind, send)
        refusal = choose_route(
            sender,
            send,
            self._conversations,
            verdict=verdict,
            connected=addressee is not None,
            now=self._clock.monotonic(),
        )
        if refusal is not None or addressee is None:
            return refusal
        if sender.kind == "device":
            self._remember_speaker(send.conversation, connection)
        message = encode(Deliver(send.conversation, sender.uid, send.payload))
        if addressee.enqueue(message):
            return None
        return GATEWAY_OFFLINE if sender.kind == "device" else PEER_UNKNOWN

    def _addressee(self, sender_kind: str, send: Send) -> Connection | None:
        wanted = "gateway" if sender_kind == "device" else "device"
        if wanted == "device":
            speaker = self._speakers.get(send.conversation)
            if speaker is not None and not speaker.closed and speaker.principal.uid == send.to:
                return speaker
        found = self._registry.newest(send.to)
        return found if found is not None and found.principal.kind == wanted else None

    def _remember_speaker(self, conversation: str, connection: Connection) -> None:
        self._speakers[conversation] = connection
        self._speakers.move_to_end(conversation)
        while len(self._speakers) > max(1024, 4 * len(self._conversations)):
            self._speakers.popitem(last=False)


async def read_first(websocket: WebSocket) -> bytes | None:
    """The Hello, in time. Raises TimeoutError."""
    async with asyncio.timeout(limits.HELLO_S):
        return await read_message(websocket)
