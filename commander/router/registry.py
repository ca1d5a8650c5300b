"""Who is connected where, in this process."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator

from starlette.websockets import WebSocket

from commander import tasks
from commander.router.limits import MAX_DEVICE_SOCKETS, QUEUE_BYTES
from commander.router.ports import Online, Principal
from commander.router.protocol import CloseCode
from commander.router.sockets import SOCKET_ENDED, shut


class Connection:
    """
    One control socket: what waits for it, and nothing else while it is idle.

    `enqueue` never blocks; a task sends as long as something waits, and there is none
    otherwise, so ten thousand idle sockets cost ten thousand small objects.
    """

    __slots__ = (
        "_closing", "_queue", "_queued_bytes", "_sending", "_socket", "address", "closed", "is_slow",
        "principal", "since", "version",
    )  # fmt: skip

    def __init__(self, socket: WebSocket, principal: Principal, address: str, since: int) -> None:
        self.principal = principal
        self.address = address
        self.since = since
        self.version = ""
        self.closed = False
        self.is_slow = False
        self._socket = socket
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._sending: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None

    def enqueue(self, message: bytes) -> bool:
        """Send soon; False when the socket is closed, or is closed now since its peer stopped reading."""
        if self.closed:
            return False
        if self._queued_bytes + len(message) > QUEUE_BYTES:
            self.is_slow = True
            self.close(CloseCode.POLICY, "slow-reader")
            return False
        self._queue.append(message)
        self._queued_bytes += len(message)
        if self._sending is None:
            self._sending = tasks.spawn(self._send_all(), name="router-send")
        return True

    async def _send_all(self) -> None:
        try:
            while self._queue:
                message = self._queue[0]
                await self._socket.send_bytes(message)
                self._queue.popleft()
                self._queued_bytes -= len(message)
        except SOCKET_ENDED:
            self.closed = True
            self._queue.clear()
        finally:
            self._sending = None

    def close(self, code: CloseCode, reason: str) -> None:
        """Close with a code and drop what waits; idempotent, returns at once."""
        if self.closed:
            return
        self.drop()
        self._closing = shut(self._socket, code, reason)

    async def wait_closed(self) -> None:
        """Wait until a close that was begun has reached the network, or was given up."""
        if self._closing is not None:
            await asyncio.wait({self._closing})

    def drop(self) -> None:
        """Note that the socket has ended, and stop sending."""
        self.closed = True
        self._queue.clear()
        self._queued_bytes = 0
        if self._sending is not None:
            self._sending.cancel()


class Registry:
    """
    All control sockets by principal, the newest last.

    A gateway has one: a second fences the first, so a copied configuration shows at once.
    A device has up to 16, since background tunnel hosts share its key.
    """

    def __init__(self) -> None:
        self._by_principal: dict[str, list[Connection]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, connection: Connection) -> Connection | None:
        """Take a connection in; returns the one that it fences, taken out already."""
        known = self._by_principal.setdefault(connection.principal.uid, [])
        limit = 1 if connection.principal.kind == "gateway" else MAX_DEVICE_SOCKETS
        fenced = known.pop(0) if len(known) >= limit else None
        known.append(connection)
        self._count += fenced is None
        return fenced

    def remove(self, connection: Connection) -> None:
        """Take a connection out; nothing happens when it was fenced before."""
        known = self._by_principal.get(connection.principal.uid, [])
        if connection in known:
            known.remove(connection)
            self._count -= 1
        if not known:
            self._by_principal.pop(connection.principal.uid, None)

    def newest(self, uid: str) -> Connection | None:
        """The connection to use for a principal."""
        known = self._by_principal.get(uid)
        return known[-1] if known else None

    def of(self, uid: str) -> list[Connection]:
        """All connections of a principal."""
        return list(self._by_principal.get(uid, ()))

    def __iter__(self) -> Iterator[Connection]:
        for known in list(self._by_principal.values()):
            yield from list(known)

    def online(self, gateway: str) -> Online | None:
        """The connection of a gateway, for listings."""
        found = self.newest(gateway)
        if found is None or found.principal.kind != "gateway":
            return None
        return Online(gateway, found.version, found.address, found.since)
