"""Strangers at a port for direct paths: bounded in number, bytes and time, and told nothing."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import pytest

from commander.errors import Conflict
from commander.tunnel.transports.direct_offer import (
    CALLED,
    CALLER,
    GREETING_BYTES,
    Ticket,
)
from commander.tunnel.transports.direct_reception import (
    MAX_STRANGERS,
    STRANGER_S,
    Reception,
    open_port,
)
from tests.support.direct import is_closed, stranger_at
from tests.support.tunnels import eventually

pytestmark = pytest.mark.integration


@pytest.fixture
def listeners() -> Iterator[list[socket.socket]]:
    """A port on loopback."""
    opened = open_port("127.0.0.1")
    yield opened
    for listener in opened:
        listener.close()


async def greet(port: int, greeting: bytes) -> bytes:
    """Greet and read the answer; empty when the port closes instead."""
    caller = await stranger_at(port, greeting)
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(20):
            return await loop.sock_recv(caller, GREETING_BYTES)
    except ConnectionError:
        return b""
    finally:
        caller.close()


async def test_who_greets_is_let_in_and_answered(listeners: list[socket.socket]) -> None:
    """The control of all that follows: token and carrier are right."""
    reception, ticket = Reception(listeners), Ticket()
    done: list[int] = []
    expected = reception.expect(ticket, 2, lambda: done.append(1))
    for carrier in (1, 0):
        answer = await greet(reception.port, ticket.greeting(CALLER, carrier))
        assert ticket.check(answer, role=CALLED, carriers=2) == carrier
        (await expected.connection(carrier)).close()
    assert reception.counters == {"let-in": 2}
    assert done == [1]
    reception.close()


async def test_other_greetings_are_dropped_without_a_word(listeners: list[socket.socket]) -> None:
    """Wrong token, wrong role, carrier too many, noise, another protocol."""
    reception, ticket = Reception(listeners), Ticket()
    expected = reception.expect(ticket, 4)
    good = ticket.greeting(CALLER, 0)
    for greeting in (
        Ticket().greeting(CALLER, 0),
        ticket.greeting(CALLED, 0),
        ticket.greeting(CALLER, 4),
        good[:-1] + bytes([good[-1] ^ 1]),
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01" + bytes(60),
    ):
        assert await greet(reception.port, greeting) == b""
    assert reception.counters == {"unproven": 6}
    expected.close()
    reception.close()


async def test_a_stranger_is_known_by_its_first_wrong_byte(listeners: list[socket.socket]) -> None:
    """Nobody waits two seconds for who speaks another protocol."""
    reception = Reception(listeners)
    stranger = await stranger_at(reception.port, b"\0cmdrdx")
    assert await is_closed(stranger)
    assert reception.counters == {"unproven": 1}
    reception.close()
    stranger.close()


async def test_a_token_is_good_once_for_each_carrier(listeners: list[socket.socket]) -> None:
    """A greeting that was seen on the way opens nothing a second time."""
    reception, ticket = Reception(listeners), Ticket()
    expected = reception.expect(ticket, 2)
    greeting = ticket.greeting(CALLER, 0)
    assert await greet(reception.port, greeting)
    assert await greet(reception.port, greeting) == b""
    expected.close()
    assert await greet(reception.port, ticket.greeting(CALLER, 1)) == b""
    assert reception.counters == {"let-in": 1, "unproven": 2}
    reception.close()


async def test_a_flood_of_strangers_is_bounded_and_the_owner_still_gets_in(
    listeners: list[socket.socket],
) -> None:
    """Sixty-four at a time; the oldest makes room, so the port is never full for who greets at once."""
    reception, ticket = Reception(listeners), Ticket()
    expected = reception.expect(ticket, 1)
    flood = [await stranger_at(reception.port) for _ in range(3 * MAX_STRANGERS)]
    await eventually(
        lambda: reception.counters["pushed-out"] + reception.counters["late"] >= 2 * MAX_STRANGERS,
        "the oldest are pushed out",
    )
    assert reception.strangers <= MAX_STRANGERS

    assert await greet(reception.port, ticket.greeting(CALLER, 0))
    (await expected.connection(0)).close()
    reception.close()
    for stranger in flood:
        stranger.close()


async def test_slow_strangers_are_given_up(listeners: list[socket.socket]) -> None:
    """Whoever sends a byte now and then has two seconds like everybody."""
    reception, ticket = Reception(listeners), Ticket()
    expected = reception.expect(ticket, 1)
    stranger = await stranger_at(reception.port, ticket.greeting(CALLER, 0)[:-1])
    began = asyncio.get_running_loop().time()
    assert await is_closed(stranger)
    assert asyncio.get_running_loop().time() - began > STRANGER_S / 2
    assert reception.counters == {"late": 1}
    assert reception.strangers == 0
    expected.close()
    reception.close()
    stranger.close()


async def test_closing_drops_strangers_and_the_port(listeners: list[socket.socket]) -> None:
    """Nothing is left behind; those let in stay."""
    reception, ticket = Reception(listeners), Ticket()
    expected = reception.expect(ticket, 2)
    port = reception.port
    stranger = await stranger_at(port)
    member = await stranger_at(port, ticket.greeting(CALLER, 0))
    connection = await expected.connection(0)
    reception.close()
    reception.close()
    assert await is_closed(stranger)
    with pytest.raises(ConnectionRefusedError):
        await stranger_at(port)
    assert connection.fileno() != -1
    expected.close()
    assert connection.fileno() != -1
    for left in (stranger, member, connection):
        left.close()


async def test_connections_that_nobody_took_are_closed(listeners: list[socket.socket]) -> None:
    """A carrier that arrived after its owner gave up is not leaked."""
    reception, ticket = Reception(listeners), Ticket()
    expected = reception.expect(ticket, 2)
    member = await stranger_at(reception.port, ticket.greeting(CALLER, 0))
    await eventually(lambda: reception.counters["let-in"], "it is in")
    expected.close()
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(20):
        await loop.sock_recv(member, GREETING_BYTES)
    assert await is_closed(member)
    reception.close()
    member.close()


async def test_one_port_serves_both_families() -> None:
    """Without a host the port is open on IPv6 and IPv4."""
    reception, ticket = Reception(open_port()), Ticket()
    expected = reception.expect(ticket, 2)
    for carrier, host in enumerate(("127.0.0.1", "::1")):
        caller = await stranger_at(reception.port, ticket.greeting(CALLER, carrier), host)
        (await expected.connection(carrier)).close()
        caller.close()
    reception.close()


def test_a_taken_port_is_a_conflict(listeners: list[socket.socket]) -> None:
    """The owner is told which, and what to do."""
    port = listeners[0].getsockname()[1]
    with pytest.raises(Conflict, match=f"port {port}"):
        open_port("127.0.0.1", port)
