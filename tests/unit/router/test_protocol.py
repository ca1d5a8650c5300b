from __future__ import annotations

import random

import pytest

from commander.codec import encode
from commander.ids import new_uid
from commander.router.protocol import Allowance, CloseCode, ControlProtocol, PeerMistake
from commander.wire.commands import COMMAND_LIMIT, Head, Hello, Send


@pytest.fixture
def greeted() -> ControlProtocol:
    """A socket whose hello came."""
    protocol = ControlProtocol()
    protocol.receive(encode(Hello("1", "")))
    return protocol


def test_hello_then_sends() -> None:
    """The first message is the hello, the following ones are handed out as they are."""
    protocol = ControlProtocol()
    send = Send(new_uid(), new_uid(), b"x")

    assert protocol.receive(encode(Hello("1.0", "n"))) == Hello("1.0", "n")
    assert protocol.receive(encode(send)) == send
    assert protocol.receive(encode(send)) == send


@pytest.mark.parametrize(
    "message",
    [
        encode(Send(new_uid(), new_uid(), b"")),
        encode(Head(0, bytes(32))),
        encode(Hello("x" * 129, "")),
        encode(Hello("", "\x1b[2J")),
        b"",
    ],
)
def test_nothing_comes_before_a_plain_hello(message: bytes) -> None:
    """Another kind, a long or unprintable hello and nothing at all are mistakes."""
    with pytest.raises(PeerMistake) as caught:
        ControlProtocol().receive(message)

    assert caught.value.close_code == CloseCode.POLICY


@pytest.mark.parametrize(
    "message",
    [
        encode(Hello("1", "")),
        encode(Head(0, bytes(32))),
        encode(Send("", new_uid(), b"")),
        encode(Send(new_uid(), "../../etc", b"")),
        encode(Send(new_uid(), new_uid(), bytes(COMMAND_LIMIT + 1))),
    ],
)
def test_only_well_formed_sends_follow(greeted: ControlProtocol, message: bytes) -> None:
    """A second hello, the router's kinds, names that are no UIDs and giants are mistakes."""
    with pytest.raises(PeerMistake):
        greeted.receive(message)


def test_text_is_refused_with_its_own_code(greeted: ControlProtocol) -> None:
    """Text messages close with 1003."""
    with pytest.raises(PeerMistake) as caught:
        greeted.receive(None)

    assert caught.value.close_code == CloseCode.BINARY_ONLY


def test_every_truncation_is_a_mistake(greeted: ControlProtocol) -> None:
    """No prefix of a message is taken for one."""
    whole = encode(Send(new_uid(), new_uid(), b"payload"))

    for cut in range(len(whole)):
        with pytest.raises(PeerMistake):
            greeted.receive(whole[:cut])


def test_random_bytes_raise_nothing_else(greeted: ControlProtocol) -> None:
    """Whatever comes, PeerMistake is all that happens."""
    rng = random.Random(7)

    for _ in range(3000):
        with pytest.raises(PeerMistake):
            greeted.receive(rng.randbytes(rng.randrange(80)))


def test_an_allowance_refills_with_time() -> None:
    """A burst passes at once, then as much as the rate gives; a clock that stands gives nothing."""
    allowance = Allowance.full(rate=2.0, burst=3.0, now=10.0)

    assert [allowance.take(10.0) for _ in range(4)] == [True, True, True, False]
    assert [allowance.take(11.0) for _ in range(3)] == [True, True, False]
    assert [allowance.take(1000.0) for _ in range(4)] == [True, True, True, False]
