"""
Direct TCP between the two ends, each offer good for `CARRIERS` connections.

The client opens a port for one offer and names its addresses; the gateway connects out to it. Where
the gateway's owner gave it a port of its own, the client connects there first. Either way the
caller greets with the offer's token, sends nothing more until the other end has greeted too, and
tells nobody what it met at an address.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Protocol, TypeVar

from commander.errors import SealBroken, Unreachable
from commander.tasks import spawn
from commander.tunnel.generations import CARRIERS
from commander.tunnel.path import KIND_DIRECT
from commander.tunnel.transports.carrier_socket import tune
from commander.tunnel.transports.direct_offer import (
    CALLED,
    CALLER,
    GREETING_BYTES,
    MAX_ADDRESSES,
    Ticket,
    choose_candidates,
    read_answer,
    read_offer,
    write_answer,
    write_offer,
)
from commander.tunnel.transports.direct_path import DirectPath
from commander.tunnel.transports.direct_reception import Expected, Reception, open_port
from commander.tunnel.transports.host_addresses import host_identity, own_addresses

COUNT: Final = CARRIERS[KIND_DIRECT]
WAIT_S: Final = 10.0
"""From the offer to the last carrier; then the port is closed."""
CALL_S: Final = 2.5
"""One attempt at one address: connecting, and the other end's greeting."""
STAGGER_S: Final = 0.15
"""How long an address has before the next one is tried as well."""
CLIENT_CALLS_S: Final = 1.5
"""How long the client tries the gateway's own port before it only waits to be called."""
GATEWAY_WAITS_S: Final = 2.0
"""How long a gateway with a port waits before it calls the client: never both at once."""
_LOOPBACK: Final = "127.0.0.1"
_T = TypeVar("_T")


class Permit(Protocol):
    """Counts calls of a process."""

    def __call__(self) -> bool:
        """Take one; False when too many were made lately."""
        ...


def _always() -> bool:
    return True


class Calls:
    """
    Finds the address at which the other end can be called, and calls it for each carrier.

    The first carrier tries the addresses, each with a head start over the next; the others
    wait for what it finds.
    """

    def __init__(
        self,
        ticket: Ticket,
        find: Callable[[], Awaitable[Sequence[str]]],
        port: int,
        *,
        permit: Permit = _always,
        call_s: float = CALL_S,
    ) -> None:
        self._ticket = ticket
        self._find = find
        self._port = port
        self._permit = permit
        self._call_s = call_s
        self._found: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def connection(self, carrier: int) -> socket.socket:
        """A connection on which both ends greeted. Raises Unreachable, always the same."""
        if carrier:
            return await self._call(await asyncio.shield(self._found), carrier)
        try:
            return await self._search()
        finally:
            self._found.cancel()

    async def _search(self) -> socket.socket:
        addresses = (await self._find())[:MAX_ADDRESSES]
        attempts = [
            spawn(self._try(address, STAGGER_S * number), name="direct-call")
            for number, address in enumerate(addresses)
        ]
        address, connection = await _first(attempts, _close_found)
        self._found.set_result(address)
        return connection

    async def _try(self, address: str, head_start_s: float) -> tuple[str, socket.socket]:
        await asyncio.sleep(head_start_s)
        return address, await self._call(address, 0)

    async def _call(self, address: str, carrier: int) -> socket.socket:
        if not self._permit():
            raise _nothing()
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            connection.setblocking(False)
            tune(connection)
            async with asyncio.timeout(self._call_s):
                await self._greet(connection, (address, self._port), carrier)
        except (OSError, SealBroken):
            connection.close()
            # Refused, silent or a stranger: whoever named the address must not learn which.
            raise _nothing() from None
        except BaseException:
            connection.close()
            raise
        return connection

    async def _greet(
        self, connection: socket.socket, address: tuple[str, int], carrier: int
    ) -> None:
        loop = asyncio.get_running_loop()
        await loop.sock_connect(connection, address)
        await loop.sock_sendall(connection, self._ticket.greeting(CALLER, carrier))
        answer = b""
        while len(answer) < GREETING_BYTES:
            data = await loop.sock_recv(connection, GREETING_BYTES - len(answer))
            if not data:
                raise SealBroken
            answer += data
        if self._ticket.check(answer, role=CALLED, carriers=COUNT) != carrier:
            raise SealBroken


class DirectAttempt:
    """One offer at one end. `path` is asked for each carrier, all at once; then `close`."""

    def __init__(self, wire: bytes, expected: Expected | None = None) -> None:
        self.wire = wire
        self._expected = expected
        loop = asyncio.get_running_loop()
        self._ends_at = loop.time() + WAIT_S
        # Whoever forgets an attempt must not leave its token good, or connections that nobody took.
        self._expiry = loop.call_at(self._ends_at, self._end)
        self._closed: asyncio.Future[None] = loop.create_future()
        self._calls: Calls | None = None
        self._calls_after_s = 0.0

    def call(self, calls: Calls, *, after_s: float = 0.0) -> None:
        """Let this end call the other, besides being called."""
        self._calls, self._calls_after_s = calls, after_s

    async def path(self, carrier: int) -> DirectPath:
        """The path of one carrier. Raises Unreachable when it did not come up in time."""
        ways = []
        if self._expected is not None:
            ways.append(spawn(self._expected.connection(carrier), name="direct-expect"))
        if self._calls is not None:
            ways.append(spawn(self._call(self._calls, carrier), name="direct-carrier"))
        try:
            async with asyncio.timeout_at(self._ends_at):
                return DirectPath(await _first(ways, _close, stop=self._closed))
        except TimeoutError:
            raise _nothing() from None

    async def close(self) -> None:
        """Stop waiting and close the port; paths that came up stay. Idempotent."""
        self._end()

    def _end(self) -> None:
        self._expiry.cancel()
        if not self._closed.done():
            self._closed.set_result(None)
        if self._expected is not None:
            self._expected.close()

    async def _call(self, calls: Calls, carrier: int) -> socket.socket:
        await asyncio.sleep(self._calls_after_s)
        return await calls.connection(carrier)


class DirectOffering(DirectAttempt):
    """The client's end: `wire` goes into the offer; hand over the `answer` before asking for paths."""

    def __init__(self, ticket: Ticket, wire: bytes, expected: Expected) -> None:
        super().__init__(wire, expected)
        self._ticket = ticket
        self._is_answered = False

    def answered(self, answer: bytes) -> None:
        """Take what the gateway said; the first time only. Raises InvalidInput."""
        if self._is_answered:
            return
        self._is_answered = True
        found = read_answer(answer)
        if not found.host:
            return
        is_same_host = self._ticket.is_same_host(found.same_host, CALLER, host_identity())

        async def find() -> Sequence[str]:
            return await _resolve(found.host, found.port, is_same_host=is_same_host)

        self.call(Calls(self._ticket, find, found.port, call_s=CLIENT_CALLS_S))


def offer() -> DirectOffering:
    """
    Open a port for one offer, on all addresses. Raises Unreachable when this host has none to name.

    It is closed once all carriers came, at `close`, and after 10 s.
    """
    if not hasattr(socket.socket, "sendmsg"):
        raise Unreachable("direct paths need sockets as Linux and macOS have them")
    identity = host_identity()
    addresses = [*([_LOOPBACK] if identity else []), *own_addresses()]
    if not addresses:
        raise Unreachable("this host has no address at which a gateway could reach it")
    ticket = Ticket()
    reception = Reception(open_port())
    wire = write_offer(ticket, reception.port, addresses, host_identity=identity)
    return DirectOffering(ticket, wire, reception.expect(ticket, COUNT, reception.close))


def answer(
    data: bytes, *, reception: Reception | None, advertised: tuple[str, int], permit: Permit
) -> DirectAttempt:
    """
    The gateway's end of an offer. Raises InvalidInput for one that breaks the format.

    `reception` is the port that the owner configured, if any, and `advertised` where clients find it.
    """
    found, identity = read_offer(data), host_identity()
    ticket = Ticket(found.token)
    host, port = advertised if reception is not None else ("", 0)
    attempt = DirectAttempt(
        write_answer(ticket, host, port, host_identity=identity),
        None if reception is None else reception.expect(ticket, COUNT),
    )
    candidates = choose_candidates(
        (ipaddress.ip_address(address) for address in found.addresses),
        is_same_host=ticket.is_same_host(found.same_host, CALLED, identity),
        own=frozenset(own_addresses()),
    )

    async def find() -> Sequence[str]:
        return candidates

    attempt.call(
        Calls(ticket, find, found.port, permit=permit),
        after_s=0.0 if reception is None else GATEWAY_WAITS_S,
    )
    return attempt


async def _resolve(host: str, port: int, *, is_same_host: bool) -> Sequence[str]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return ()
    texts = (str(entry[4][0]).partition("%")[0] for entry in found)
    return choose_candidates(map(ipaddress.ip_address, texts), is_same_host=is_same_host)


def _nothing() -> Unreachable:
    return Unreachable(
        "no direct connection came up",
        hint="the gateway has to reach this machine, or needs --direct-listen; see docs/paths.md",
    )


async def _first(
    ways: Sequence[asyncio.Task[_T]],
    discard: Callable[[_T], None],
    *,
    stop: asyncio.Future[None] | None = None,
) -> _T:
    """The first result; what the others still come to is discarded. Raises Unreachable without any."""
    waiting: set[asyncio.Future[Any]] = {*ways}
    chosen: asyncio.Task[_T] | None = None
    try:
        while waiting:
            done, _ = await asyncio.wait(
                waiting | ({stop} if stop else set()), return_when=asyncio.FIRST_COMPLETED
            )
            if stop in done:
                break
            waiting -= done
            chosen = next((way for way in ways if way in done and _is_good(way)), None)
            if chosen is not None:
                return chosen.result()
        raise _nothing()
    finally:
        for way in ways:
            if way is not chosen:
                way.cancel()
                way.add_done_callback(
                    lambda late: discard(late.result()) if _is_good(late) else None
                )


def _is_good(way: asyncio.Task[Any]) -> bool:
    return not way.cancelled() and way.exception() is None


def _close(connection: socket.socket) -> None:
    connection.close()


def _close_found(found: tuple[str, socket.socket]) -> None:
    found[1].close()
