from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commander.codec import encode
from commander.errors import InvalidInput, SealBroken
from commander.tunnel.transports.direct_offer import (
    CALLED,
    CALLER,
    GREETING_BYTES,
    GREETING_START,
    MAX_ADDRESSES,
    DirectAnswer,
    DirectOffer,
    Ticket,
    choose_candidates,
    greeting_name,
    read_answer,
    read_offer,
    write_answer,
    write_offer,
)

TOKEN = bytes(range(32))
TICKET = Ticket(TOKEN)
HOST = b"boot/1/2"
GREETING = TICKET.greeting(CALLER, 2)
GOOD_OFFER = DirectOffer(1, TOKEN, 40000, (b"\n\0\0\1", bytes(16)), b"")
GOOD_ANSWER = DirectAnswer(1, "gateway.example", 4433, b"p" * 32)


def test_offer_and_answer_survive_the_wire() -> None:
    """What one end writes the other reads, IPv4 and IPv6."""
    offer = read_offer(write_offer(TICKET, 40000, ["10.0.0.1", "2001:db8::1"], host_identity=HOST))
    assert (offer.token, offer.port) == (TOKEN, 40000)
    assert [str(ip_address(one)) for one in offer.addresses] == ["10.0.0.1", "2001:db8::1"]
    assert TICKET.is_same_host(offer.same_host, CALLED, HOST)

    answer = read_answer(write_answer(TICKET, "10.1.1.1", 443, host_identity=HOST))
    assert (answer.host, answer.port) == ("10.1.1.1", 443)
    assert TICKET.is_same_host(answer.same_host, CALLER, HOST)


def test_an_answer_without_a_port_says_nothing_of_the_host() -> None:
    """The gateway that only calls tells no proof either."""
    assert read_answer(write_answer(TICKET, "", 0, host_identity=HOST)) == DirectAnswer(
        1, "", 0, b""
    )


def test_no_more_than_eight_addresses_are_offered() -> None:
    """The likeliest eight; the rest stays unsaid."""
    many = [f"10.0.0.{number}" for number in range(1, 20)]
    offer = read_offer(write_offer(TICKET, 40000, many, host_identity=b""))
    assert [str(ip_address(one)) for one in offer.addresses] == many[:MAX_ADDRESSES]


@pytest.mark.parametrize(
    "broken",
    [
        DirectOffer(2, TOKEN, 40000, (b"\n\0\0\1",), b""),
        DirectOffer(1, TOKEN[1:], 40000, (b"\n\0\0\1",), b""),
        DirectOffer(1, TOKEN, 1023, (b"\n\0\0\1",), b""),
        DirectOffer(1, TOKEN, 65536, (b"\n\0\0\1",), b""),
        DirectOffer(1, TOKEN, -1, (b"\n\0\0\1",), b""),
        DirectOffer(1, TOKEN, 40000, (), b""),
        DirectOffer(1, TOKEN, 40000, tuple(bytes([10, 0, 0, n]) for n in range(9)), b""),
        DirectOffer(1, TOKEN, 40000, (b"\n\0\0\1", b"\n\0\0\1"), b""),
        DirectOffer(1, TOKEN, 40000, (b"\n\0\0",), b""),
        DirectOffer(1, TOKEN, 40000, (b"\n\0\0\1",), b"short"),
    ],
)
def test_a_broken_offer_is_refused(broken: DirectOffer) -> None:
    """Version, token, port, addresses and proof each have one form; the unbroken one passes."""
    assert read_offer(encode(GOOD_OFFER)) == GOOD_OFFER
    with pytest.raises(InvalidInput):
        read_offer(encode(broken))


@pytest.mark.parametrize(
    "broken",
    [
        DirectAnswer(2, "", 0, b""),
        DirectAnswer(1, "x" * 254, 4433, b""),
        DirectAnswer(1, "g\u00e4teway", 4433, b""),
        DirectAnswer(1, "gate\nway", 4433, b""),
        DirectAnswer(1, "gateway", 0, b""),
        DirectAnswer(1, "", 4433, b""),
        DirectAnswer(1, "gateway", 65536, b""),
        DirectAnswer(1, "gateway", -5, b""),
        DirectAnswer(1, "gateway", 4433, b"short"),
    ],
)
def test_a_broken_answer_is_refused(broken: DirectAnswer) -> None:
    """Host and port belong together and are plain; the unbroken one passes."""
    assert read_answer(encode(GOOD_ANSWER)) == GOOD_ANSWER
    with pytest.raises(InvalidInput):
        read_answer(encode(broken))


@pytest.mark.parametrize("whole", [encode(GOOD_OFFER), encode(GOOD_ANSWER)])
def test_no_part_of_a_message_is_one(whole: bytes) -> None:
    """Cut at each byte, or with one more, both readers refuse."""
    for data in [*(whole[:cut] for cut in range(len(whole))), whole + b"\0"]:
        for read in (read_offer, read_answer):
            with pytest.raises(InvalidInput):
                read(data)


def test_greeting_has_its_layout() -> None:
    """The beginning is fixed, so that a stranger is known by its first byte."""
    assert len(GREETING) == GREETING_BYTES == 58
    assert GREETING[:10] == GREETING_START + bytes([CALLER, 2]) == b"\0cmdrdt\x01\x01\x02"
    assert greeting_name(GREETING) == TICKET.name
    assert TOKEN not in GREETING


def test_a_greeting_is_good_for_its_role_and_carrier() -> None:
    """The called end knows which carrier came."""
    assert TICKET.check(GREETING, role=CALLER, carriers=4) == 2
    assert Ticket(TOKEN).check(TICKET.greeting(CALLED, 0), role=CALLED, carriers=4) == 0


def test_a_greeting_with_one_changed_byte_is_refused() -> None:
    """No byte of it is without meaning."""
    for place in range(GREETING_BYTES):
        changed = bytearray(GREETING)
        changed[place] ^= 1
        with pytest.raises(SealBroken):
            TICKET.check(bytes(changed), role=CALLER, carriers=4)


def test_greetings_of_others_are_refused() -> None:
    """A reflected one, one of another token, of a carrier too many, and of another length."""
    for greeting, role, carriers in [
        (GREETING, CALLED, 4),
        (Ticket().greeting(CALLER, 2), CALLER, 4),
        (GREETING, CALLER, 2),
        (GREETING[:-1], CALLER, 4),
        (GREETING + b"\0", CALLER, 4),
    ]:
        with pytest.raises(SealBroken):
            TICKET.check(greeting, role=role, carriers=carriers)


@given(data=st.binary(max_size=100))
def test_noise_is_no_greeting(data: bytes) -> None:
    """Only the documented error comes out of anything."""
    with pytest.raises(SealBroken):
        TICKET.check(data, role=CALLER, carriers=4)


def test_tokens_are_fresh() -> None:
    """No two offers share one."""
    assert Ticket().token != Ticket().token


def test_same_host_needs_token_role_and_host() -> None:
    """Each of them; and without an identity nothing is claimed or believed."""
    proof = TICKET.same_host_proof(CALLED, HOST)
    assert TICKET.is_same_host(proof, CALLED, HOST)
    assert not TICKET.is_same_host(proof, CALLER, HOST)
    assert not TICKET.is_same_host(proof, CALLED, b"boot/1/3")
    assert not Ticket().is_same_host(proof, CALLED, HOST)
    assert TICKET.same_host_proof(CALLED, b"") == b""
    assert not TICKET.is_same_host(b"", CALLED, b"")
    assert not TICKET.is_same_host(b"", CALLED, HOST)


SPECIAL = [
    "127.0.0.1", "127.0.0.2", "::1", "::ffff:127.0.0.1", "0.0.0.0", "::", "169.254.169.254",
    "169.254.7.7", "fe80::1", "fd00:ec2::254", "224.0.0.1", "ff02::1", "240.0.0.1", "64:ff9b::7f00:1",
]  # fmt: skip


@pytest.mark.parametrize("address", SPECIAL)
def test_special_addresses_are_never_candidates(address: str) -> None:
    """An offer leads nobody to loopback, metadata, link-local, multicast or nowhere; others stay."""
    named = [ip_address(address), ip_address("10.0.0.1")]
    assert choose_candidates(named, is_same_host=False) == ["10.0.0.1"]


def test_loopback_is_a_candidate_on_the_same_host_only() -> None:
    """Exactly 127.0.0.1 and ::1, and only after the proof."""
    named = [ip_address(address) for address in [*SPECIAL, "10.0.0.1"]]
    assert choose_candidates(named, is_same_host=True) == ["127.0.0.1", "::1", "10.0.0.1"]


def test_our_own_addresses_are_candidates_on_the_same_host_only() -> None:
    """Who names them from elsewhere would be led to our own services."""
    named = [ip_address(text) for text in ("10.0.0.7", "::ffff:10.0.0.7", "10.0.0.8")]
    own = frozenset({"10.0.0.7"})
    assert choose_candidates(named, is_same_host=False, own=own) == ["10.0.0.8"]
    assert choose_candidates(named, is_same_host=True, own=own) == ["10.0.0.7", "10.0.0.8"]


def test_candidates_are_few_and_different() -> None:
    """An address in two dresses counts once, and past the eighth none is tried."""
    twice = [ip_address("10.0.0.1"), ip_address("::ffff:10.0.0.1")]
    assert choose_candidates(twice, is_same_host=False) == ["10.0.0.1"]
    many = [ip_address(f"10.0.0.{number}") for number in range(1, 20)]
    assert len(choose_candidates(many, is_same_host=False)) == MAX_ADDRESSES
