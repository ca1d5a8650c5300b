"""
Relay sockets: the two sides of an introduced conversation, joined, and sealed messages copied.

The router reads nothing and keeps at most one message per direction: it takes the next one from
a socket when the other socket took the last. A socket that comes while its side has one already
takes its place, since a client that lost its path comes back before we notice.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator

from starlette.websockets import WebSocket

from commander.router.limits import MAX_WAITING_RELAYS, PAIR_S
from commander.router.ports import Principal
from commander.router.protocol import CloseCode
from commander.router.routing import Conversation
from commander.router.sockets import SOCKET_ENDED, read_message, shut


class Leg:
    """One side's socket; `partner` becomes known when the other side is there."""

    __slots__ = ("closing", "partner", "principal", "socket", "waits")

    def __init__(self, socket: WebSocket, principal: Principal) -> None:
        self.socket = socket
        self.principal = principal
        self.waits = True
        # Done with None when the socket is closed before the other side came.
        self.partner: asyncio.Future[Leg | None] = asyncio.get_running_loop().create_future()
        self.closing: asyncio.Task[None] | None = None

    def is_paired(self) -> bool:
        """Tell whether the other side is there."""
        return self.partner.done() and self.partner.result() is not None

    def close(self, code: CloseCode, reason: str) -> None:
        """Close this socket and its partner's; idempotent, returns at once."""
        if self.closing is not None:
            return
        self.closing = shut(self.socket, code, reason)
        if not self.partner.done():
            self.partner.set_result(None)
        elif (partner := self.partner.result()) is not None:
            partner.close(CloseCode.PEER_GONE, "peer-gone")


class RelayTable:
    """All relay sockets by conversation and side."""

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

    def may_wait(self, principal: str) -> bool:
        """Tell whether one more socket of this principal may wait for its pair."""
        return self._waiting[principal] < MAX_WAITING_RELAYS

    async def serve(self, leg: Leg, uid: str, conversation: Conversation) -> None:
        """Run one accepted relay socket to its end."""
        conversation.relays += 1
        self._count += 1
        self._waiting[leg.principal.uid] += 1
        deadline = asyncio.get_running_loop().call_later(
            PAIR_S, _close_unpaired, leg, self.counters
        )
        try:
            self._join(leg, uid, conversation)
            await self._copy(leg)
        except SOCKET_ENDED:
            self.counters["ended"] += 1
        finally:
            deadline.cancel()
            self._part(leg, uid)
            conversation.relays -= 1
            self._count -= 1
        if leg.closing is not None:
            await asyncio.wait({leg.closing})

    async def _copy(self, leg: Leg) -> None:
        while True:
            message = await read_message(leg.socket)
            if message is None:
                leg.close(CloseCode.BINARY_ONLY, "binary-only")
                return
            partner = await leg.partner
            if partner is None:
                return
            await partner.socket.send_bytes(message)
            self.copied_bytes += len(message)

    def _join(self, leg: Leg, uid: str, conversation: Conversation) -> None:
        sides = self._legs.setdefault(uid, {})
        replaced = sides.pop(leg.principal.uid, None)
        if replaced is not None:
            self._stop_waiting(replaced)
            replaced.close(CloseCode.PEER_GONE, "replaced")
        sides[leg.principal.uid] = leg
        other = sides.get(conversation.other(leg.principal.uid) or "")
        if other is None or other.closing is not None or other.is_paired():
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
