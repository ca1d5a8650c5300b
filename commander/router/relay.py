"""
The two sides of an introduced conversation, joined, and what they send copied.

The router reads nothing of it: both sides are streams of bytes, in a WebSocket's messages or on a
TLS connection (`stream`), and either kind may meet either. It keeps at most one piece per direction
and takes the next one from a side when the other took the last. A connection that comes while its side
has one already takes its place, since a client that lost its path comes back before we notice.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator

from starlette.websockets import WebSocket

from commander.router.limits import (
    MAX_PIECE,
    MAX_WAITING_GATEWAY_RELAYS,
    MAX_WAITING_RELAYS,
    PAIR_S,
)
from commander.router.ports import Principal
from commander.router.protocol import CloseCode
from commander.router.routing import Conversation
from commander.router.sockets import SOCKET_ENDED, read_message, shut

Moved = Callable[[int], None]
"""Counts bytes that went through."""


class Leg(ABC):
    """One side's connection; `partner` becomes known when the other side is there."""

    def __init__(self, principal: Principal) -> None:
        self.principal = principal
        self.waits = True
        self.is_closing = False
        # Done with None when this one is closed before the other side came.
        self.partner: asyncio.Future[Leg | None] = asyncio.get_running_loop().create_future()

    def is_paired(self) -> bool:
        """Tell whether the other side is there."""
        return self.partner.done() and self.partner.result() is not None

    def close(self, code: CloseCode, reason: str) -> None:
        """Close this connection and its partner's; idempotent, returns at once."""
        if self.is_closing:
            return
        self.is_closing = True
        self._shut(code, reason)
        if not self.partner.done():
            self.partner.set_result(None)
        elif (partner := self.partner.result()) is not None:
            partner.close(CloseCode.PEER_GONE, "peer-gone")

    @abstractmethod
    async def copy(self, moved: Moved) -> None:
        """Give everything that comes to the partner, until either side ends or errs (SOCKET_ENDED)."""

    @abstractmethod
    async def send(self, data: bytes) -> None:
        """Give bytes to this side; returns when it takes more. Raises SOCKET_ENDED."""

    @abstractmethod
    async def wait_closed(self) -> None:
        """Wait until a close that was begun has reached the network, or was given up."""

    @abstractmethod
    def _shut(self, code: CloseCode, reason: str) -> None:
        """Begin to close."""


class WebSocketLeg(Leg):
    """A side that came by WebSocket; where its messages begin and end has no meaning."""

    def __init__(self, socket: WebSocket, principal: Principal) -> None:
        super().__init__(principal)
        self._socket = socket
        self._closing: asyncio.Task[None] | None = None

    async def copy(self, moved: Moved) -> None:
        """Read message after message."""
        while True:
            message = await read_message(self._socket)
            if message is None:
                self.close(CloseCode.BINARY_ONLY, "binary-only")
                return
            partner = await self.partner
            if partner is None:
                return
            await partner.send(message)
            moved(len(message))

    async def send(self, data: bytes) -> None:
        """Send bytes as messages that every end takes."""
        for start in range(0, len(data), MAX_PIECE):
            await self._socket.send_bytes(data[start : start + MAX_PIECE])

    async def wait_closed(self) -> None:
        """Wait for the close handshake, or its end by force."""
        if self._closing is not None:
            await asyncio.wait({self._closing})

    def _shut(self, code: CloseCode, reason: str) -> None:
        self._closing = shut(self._socket, code, reason)


class RelayTable:
    """All sides by conversation and principal."""

    def __init__(self) -> None:
        self._legs: dict[str, dict[str, Leg]] = {}
        self._waiting: Counter[str] = Counter()
        self._count = 0
        self.counters: Counter[str] = Counter()
        self.copied_bytes = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Leg]:
        for sides in list(self._legs.values()):
            yield from list(sides.values())

    def pairs(self) -> int:
        """How many conversations have both sides here."""
        return sum(leg.is_paired() for leg in self) // 2

    def may_wait(self, principal: Principal) -> bool:
        """Tell whether one more socket of this principal may wait for its pair."""
        is_gateway = principal.kind == "gateway"
        limit = MAX_WAITING_GATEWAY_RELAYS if is_gateway else MAX_WAITING_RELAYS
        return self._waiting[principal.uid] < limit

    async def serve(self, leg: Leg, uid: str, conversation: Conversation) -> None:
        """Run one accepted side to its end."""
        conversation.relays += 1
        self._count += 1
        self._waiting[leg.principal.uid] += 1
        deadline = asyncio.get_running_loop().call_later(
            PAIR_S, _close_unpaired, leg, self.counters
        )
        try:
            self._join(leg, uid, conversation)
            await leg.copy(self._moved)
        except SOCKET_ENDED:
            self.counters["ended"] += 1
        finally:
            deadline.cancel()
            self._part(leg, uid)
            conversation.relays -= 1
            self._count -= 1
        await leg.wait_closed()

    def _moved(self, size: int) -> None:
        self.copied_bytes += size

    def _join(self, leg: Leg, uid: str, conversation: Conversation) -> None:
        sides = self._legs.setdefault(uid, {})
        replaced = sides.pop(leg.principal.uid, None)
        if replaced is not None:
            self._stop_waiting(replaced)
            replaced.close(CloseCode.PEER_GONE, "replaced")
        sides[leg.principal.uid] = leg
        other = sides.get(conversation.other(leg.principal.uid) or "")
        if other is None or other.is_closing or other.is_paired():
            return
        for one, two in ((leg, other), (other, leg)):
            self._stop_waiting(one)
            one.partner.set_result(two)
        self.counters["paired"] += 1

    def _stop_waiting(self, leg: Leg) -> None:
        if leg.waits:
            leg.waits = False
            self._waiting[leg.principal.uid] -= 1
            if not self._waiting[leg.principal.uid]:
                del self._waiting[leg.principal.uid]

    def _part(self, leg: Leg, uid: str) -> None:
        sides = self._legs.get(uid, {})
        self._stop_waiting(leg)
        if sides.get(leg.principal.uid) is leg:
            del sides[leg.principal.uid]
        if not sides:
            self._legs.pop(uid, None)
        leg.close(CloseCode.PEER_GONE, "peer-gone")


def _close_unpaired(leg: Leg, counters: Counter[str]) -> None:
    if not leg.is_paired():
        counters["pair-timeout"] += 1
        leg.close(CloseCode.PAIR_TIMEOUT, "pair-timeout")
