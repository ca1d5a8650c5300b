"""A direct path from offer to carriers, on one host."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from commander.codec import encode
from commander.errors import InvalidInput, Unreachable
from commander.tunnel.transports import direct
from commander.tunnel.transports.direct_offer import (
    CALLED,
    CALLER,
    GREETING_BYTES,
    DirectOffer,
    Ticket,
    read_offer,
)
from commander.tunnel.transports.direct_reception import Reception, open_port
from commander.tunnel.transports.host_addresses import host_identity
from tests.contract.test_paths import Collected
from tests.support.direct import all_paths, attempt, is_closed, stranger_at
from tests.support.tunnels import eventually
from tests.support.waiting import free_port

pytestmark = pytest.mark.integration
LOOPBACK = ipaddress.ip_address("127.0.0.1").packed


async def both_heard(one: Collected, two: Collected) -> None:
    await eventually(lambda: one.messages and two.messages, "both messages")


async def test_the_gateway_connects_to_the_clients_port() -> None:
    """Four carriers, each joined with its own counterpart, and the port is closed at once."""
    async with attempt() as (offering, answering):
        port = read_offer(offering.wire).port
        pairs = await all_paths(offering, answering)
        with pytest.raises(ConnectionRefusedError):
            await stranger_at(port)
        for number, (client, gateway) in enumerate(pairs):
            ours, theirs = Collected(), Collected()
            client.start(ours)
            gateway.start(theirs)
            client.send(b"%d" % number)
            gateway.send(b"back")
            await both_heard(ours, theirs)
            assert theirs.messages == [b"%d" % number]
            await client.close()
            await gateway.close()


async def test_the_client_connects_to_the_gateways_port() -> None:
    """One port serves several tunnels at once; connections are told apart by their tokens."""
    reception = Reception(open_port("127.0.0.1"))
    async with attempt(reception=reception) as one, attempt(reception=reception) as two:
        for pairs in await asyncio.gather(all_paths(*one), all_paths(*two)):
            for client, gateway in pairs:
                await client.close()
                await gateway.close()
    assert reception.counters == {"let-in": 8}
    reception.close()


async def test_a_gateway_whose_port_is_unreachable_calls_back() -> None:
    """A wrong --direct-advertise costs two seconds and not the path."""
    reception = Reception(open_port("127.0.0.1"))
    offering = direct.offer()
    answering = direct.answer(
        offering.wire,
        reception=reception,
        advertised=("127.0.0.1", free_port()),
        permit=lambda: True,
    )
    for client, gateway in await all_paths(offering, answering):
        await client.close()
        await gateway.close()
    assert reception.counters == {}
    await offering.close()
    await answering.close()
    reception.close()


@asynccontextmanager
async def watched_port() -> AsyncIterator[tuple[int, list[bytes]]]:
    """A service of this host that notes what reaches it, and answers with a banner."""
    heard: list[bytes] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(4096))
        writer.write(b"SSH-2.0-OpenSSH\r\n" + bytes(100))
        heard[-1] += await reader.read(4096)
        writer.close()

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1], heard


def crafted(port: int, *, proof: bytes, ticket: Ticket, address: bytes = LOOPBACK) -> bytes:
    """What a modified client offers."""
    return encode(DirectOffer(1, ticket.token, port, (address,), proof))


async def outcome(wire: bytes) -> str:
    """What the gateway makes of an offer."""
    answering = direct.answer(wire, reception=None, advertised=("", 0), permit=lambda: True)
    try:
        await answering.path(0)
    except Unreachable as error:
        return error.message
    finally:
        await answering.close()
    return "connected"


async def test_a_client_cannot_probe_the_gateways_own_host() -> None:
    """Loopback is connected after the proof of the same host alone: without it, not even a SYN."""
    ticket = Ticket()
    async with watched_port() as (port, heard):
        for proof in (b"", b"p" * 32, ticket.same_host_proof(CALLED, b"another host")):
            assert await outcome(crafted(port, proof=proof, ticket=ticket)) == (
                "no direct connection came up"
            )
        assert heard == []
        # The control: with the proof it is connected, and hears the greeting and nothing more.
        proof = ticket.same_host_proof(CALLED, host_identity())
        assert await outcome(crafted(port, proof=proof, ticket=ticket)) == (
            "no direct connection came up"
        )
        await eventually(lambda: heard and len(heard[0]) >= GREETING_BYTES, "the greeting")
        assert heard == [ticket.greeting(CALLER, 0)]


@pytest.mark.parametrize(
    "address",
    ["169.254.169.254", "0.0.0.0", "224.0.0.1", "fe80::1", "::ffff:127.0.0.1", "127.0.0.2"],
)
async def test_special_addresses_are_not_connected(address: str) -> None:
    """The answer is the one that every failure has."""
    packed = ipaddress.ip_address(address).packed
    assert (
        await outcome(crafted(40000, proof=b"", ticket=Ticket(), address=packed))
        == "no direct connection came up"
    )


async def test_every_failure_looks_the_same() -> None:
    """Refused, a banner, a closed connection: who named the address can't tell which."""
    ticket = Ticket()
    proof = ticket.same_host_proof(CALLED, host_identity())
    async with watched_port() as (port, _):
        places = (free_port(), port)
        found = {await outcome(crafted(at, proof=proof, ticket=ticket)) for at in places}
    assert found == {"no direct connection came up"}


async def test_calls_are_counted() -> None:
    """A gateway that called too often lately calls nobody."""
    offering = direct.offer()
    asked: list[int] = []

    def permit() -> bool:
        asked.append(1)
        return False

    answering = direct.answer(offering.wire, reception=None, advertised=("", 0), permit=permit)
    with pytest.raises(Unreachable):
        await answering.path(0)
    assert len(asked) == len(read_offer(offering.wire).addresses)
    await answering.close()
    await offering.close()


async def test_closing_ends_who_still_waits() -> None:
    """The tunnel was stopped, or another path is better: nobody waits ten seconds."""
    offering = direct.offer()
    waiting = asyncio.gather(
        *(offering.path(number) for number in range(direct.COUNT)), return_exceptions=True
    )
    await asyncio.sleep(0)
    await offering.close()
    await offering.close()
    async with asyncio.timeout(20):
        assert {type(found) for found in await waiting} == {Unreachable}


async def test_an_attempt_that_is_forgotten_leaves_no_token_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After its time the port, and a connection that nobody took, are closed by themselves."""
    monkeypatch.setattr(direct, "WAIT_S", 2.0)
    reception = Reception(open_port("127.0.0.1"))
    offering = direct.offer()
    ticket = Ticket(read_offer(offering.wire).token)
    direct.answer(
        offering.wire,
        reception=reception,
        advertised=("127.0.0.1", reception.port),
        permit=lambda: True,
    )
    early = await stranger_at(reception.port, ticket.greeting(CALLER, 0))
    await eventually(lambda: reception.counters["let-in"], "it is let in")
    async with asyncio.timeout(20):
        await asyncio.get_running_loop().sock_recv(early, GREETING_BYTES)
    assert await is_closed(early)
    late = await stranger_at(reception.port, ticket.greeting(CALLER, 1))
    assert await is_closed(late)
    with pytest.raises(ConnectionRefusedError):
        await stranger_at(read_offer(offering.wire).port)
    for stranger in (early, late):
        stranger.close()
    reception.close()


async def test_a_broken_answer_is_refused() -> None:
    """The gateway's words are parsed as strictly as a stranger's."""
    async with attempt() as (offering, _):
        with pytest.raises(InvalidInput):
            offering.answered(b"nonsense")


async def test_an_offer_names_this_host() -> None:
    """Loopback for whoever proves to be here, and no address that others can't reach."""
    offering = direct.offer()
    offer = read_offer(offering.wire)
    named = [ipaddress.ip_address(address) for address in offer.addresses]
    assert str(named[0]) == "127.0.0.1"
    assert not any(address.is_loopback or address.is_link_local for address in named[1:])
    assert Ticket(offer.token).is_same_host(offer.same_host, CALLED, host_identity())
    await offering.close()
