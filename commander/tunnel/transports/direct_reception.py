"""
A listening port for direct paths: lets those in who greet with a ticket it knows.

Anybody may connect, so a connection is nothing but a socket and 58 bytes until its greeting
verified: at most 64 at a time, two seconds each, the oldest goes first.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from commander.errors import Conflict, SealBroken
from commander.tunnel.transports.carrier_socket import tune
from commander.tunnel.transports.direct_offer import (
    CALLED,
    CALLER,
    GREETING_BYTES,
    GREETING_START,
    Ticket,
    greeting_name,
)

MAX_STRANGERS: Final = 64
STRANGER_S: Final = 2.0
_ACCEPTS: Final = 16
# A gateway's port takes the four connections of each of a thousand tunnels that come back at once.
_BACKLOG: Final = 1024
_PAUSE_S: Final = 0.5


class Expected:
    """The carriers of one ticket that are to come; `close` it when they need not any more."""

    def __init__(self, ticket: Ticket, carriers: int, done: Callable[[Expected], None]) -> None:
        self.ticket = ticket
        self._done = done
        self._taken: set[int] = set()
        loop = asyncio.get_running_loop()
        self._arrived: list[asyncio.Future[socket.socket]] = [
            loop.create_future() for _ in range(carriers)
        ]

    async def connection(self, carrier: int) -> socket.socket:
        """Wait for a carrier's connection, which then is the caller's; cancelled by a close before."""
        connection = await asyncio.shield(self._arrived[carrier])
        self._taken.add(carrier)
        return connection

    def admit(self, greeting: bytes, connection: socket.socket) -> bool:
        """Take a connection whose greeting is of a carrier that has not come yet."""
        try:
            carrier = self.ticket.check(greeting, role=CALLER, carriers=len(self._arrived))
        except SealBroken:
            return False
        arrived = self._arrived[carrier]
        if arrived.done():
            return False
        try:
            # A few bytes on a fresh connection: the kernel takes them, or it is broken.
            connection.send(self.ticket.greeting(CALLED, carrier))
        except OSError:
            return False
        tune(connection)
        arrived.set_result(connection)
        if all(other.done() for other in self._arrived):
            self._done(self)
        return True

    def close(self) -> None:
        """Expect nothing more, and close connections that nobody took; idempotent."""
        for carrier, arrived in enumerate(self._arrived):
            if arrived.cancel() or arrived.cancelled() or carrier in self._taken:
                continue
            self._taken.add(carrier)
            arrived.result().close()
        self._done(self)


class _Stranger:
    """A connection that has not greeted yet."""

    def __init__(self, connection: socket.socket, deadline: asyncio.TimerHandle) -> None:
        self.connection = connection
        self.deadline = deadline
        self.greeting = b""


class Reception:
    """
    Accepts on listening sockets; `expect` tickets, and `close` it at the end.

    `counters` tells how many were let in, did not prove themselves, were late or pushed out.
    """

    def __init__(self, listeners: Sequence[socket.socket]) -> None:
        self.counters: Counter[str] = Counter()
        self._loop = asyncio.get_running_loop()
        self._listeners = list(listeners)
        self._expected: dict[bytes, Expected] = {}
        self._strangers: dict[int, _Stranger] = {}
        for listener in self._listeners:
            listener.setblocking(False)
            self._loop.add_reader(listener, self._accept, listener)

    @property
    def port(self) -> int:
        """The port; the same for all its sockets."""
        number: int = self._listeners[0].getsockname()[1]
        return number

    @property
    def strangers(self) -> int:
        """How many are here that have not greeted."""
        return len(self._strangers)

    def expect(
        self, ticket: Ticket, carriers: int, done: Callable[[], None] | None = None
    ) -> Expected:
        """Let a ticket's carriers in from now on; `done` is called once all are there, or at its close."""

        def forget(expected: Expected) -> None:
            if self._expected.pop(expected.ticket.name, None) is not None and done is not None:
                done()

        expected = self._expected[ticket.name] = Expected(ticket, carriers, forget)
        return expected

    def close(self) -> None:
        """Stop accepting and drop who has not greeted; those let in stay. Idempotent."""
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            self._loop.remove_reader(listener)
            listener.close()
        for stranger in list(self._strangers.values()):
            self._drop(stranger)

    # --- strangers -----------------------------------------------------------------------------

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(_ACCEPTS):
            try:
                connection, _address = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:
                # Out of descriptors: without a pause the loop would spin.
                self._loop.remove_reader(listener)
                self._loop.call_later(_PAUSE_S, self._accept_again, listener)
                return
            self._receive(connection)

    def _accept_again(self, listener: socket.socket) -> None:
        if listener in self._listeners:
            self._loop.add_reader(listener, self._accept, listener)

    def _receive(self, connection: socket.socket) -> None:
        if len(self._strangers) >= MAX_STRANGERS:
            self.counters["pushed-out"] += 1
            self._drop(next(iter(self._strangers.values())))
        connection.setblocking(False)
        number = connection.fileno()
        deadline = self._loop.call_later(STRANGER_S, self._give_up, number)
        self._strangers[number] = _Stranger(connection, deadline)
        self._loop.add_reader(connection, self._readable, number)

    def _give_up(self, number: int) -> None:
        self.counters["late"] += 1
        self._drop(self._strangers[number])

    def _readable(self, number: int) -> None:
        stranger = self._strangers[number]
        try:
            data = stranger.connection.recv(GREETING_BYTES - len(stranger.greeting))
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        stranger.greeting += data
        start = stranger.greeting[: len(GREETING_START)]
        if not data or not GREETING_START.startswith(start):
            self.counters["unproven"] += 1
            self._drop(stranger)
        elif len(stranger.greeting) == GREETING_BYTES:
            self._judge(stranger)

    def _judge(self, stranger: _Stranger) -> None:
        expected = self._expected.get(greeting_name(stranger.greeting))
        self._forget(stranger)
        if expected is not None and expected.admit(stranger.greeting, stranger.connection):
            self.counters["let-in"] += 1
        else:
            self.counters["unproven"] += 1
            stranger.connection.close()

    def _drop(self, stranger: _Stranger) -> None:
        self._forget(stranger)
        stranger.connection.close()

    def _forget(self, stranger: _Stranger) -> None:
        del self._strangers[stranger.connection.fileno()]
        stranger.deadline.cancel()
        self._loop.remove_reader(stranger.connection)


def open_port(host: str = "", port: int = 0) -> list[socket.socket]:
    """
    Listen on one port of one address, or of all (IPv6 and IPv4) for the empty host.

    Raises Conflict when the port is taken or the address is not ours.
    """
    try:
        if host:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            return [_listen(family, host, port)]
        with contextlib.suppress(OSError):
            return [_listen(socket.AF_INET6, "::", port)]
        return [_listen(socket.AF_INET, "0.0.0.0", port)]  # noqa: S104  a one-shot port with a token
    except OSError as error:
        raise Conflict(
            f"cannot listen on {host or 'any address'}, port {port}: {error.strerror}",
            hint="choose another address or port",
        ) from None


def _listen(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(host != "::"))
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener
