from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from commander.codec import decode, encode
from commander.crypto.aead import new_key
from commander.crypto.box import BoxPrivateKey
from commander.crypto.signing import SigningKey
from commander.errors import InvalidInput, SealBroken
from commander.ids import new_uid
from commander.wire.commands import (
    START_TUNNEL,
    VERSION,
    Command,
    Deliver,
    Head,
    Hello,
    Offer,
    OfferAnswer,
    Reply,
    Send,
    StreamMeta,
    Undeliverable,
    command_hash,
    open_command,
    open_reply,
    read_routed,
    seal_command,
    seal_reply,
    verify_command,
)

DEVICE, GATEWAY = SigningKey.generate(), SigningKey.generate()
BOX = BoxPrivateKey.generate()
SECRET = new_key()
COMMAND = Command(
    VERSION, START_TUNNEL, new_uid(), new_uid(), new_uid(), new_uid(), 1, 1, 1000, 1060,
    bytes(16), 3, bytes(32), SECRET, b"", b"",
)  # fmt: skip
SEALED = seal_command(COMMAND, DEVICE, BOX.public)


def opened(data: bytes) -> Command:
    command, signed = open_command(
        data, BOX, uid=COMMAND.gateway, conversation=COMMAND.conversation, device=COMMAND.device
    )
    verify_command(signed, DEVICE.public)
    return command


def test_a_command_travels_whole() -> None:
    """What the device signed is what the gateway reads."""
    assert opened(SEALED) == COMMAND


@pytest.mark.parametrize("position", range(0, len(SEALED), 37))
def test_no_altered_command_opens(position: int) -> None:
    """A flipped bit anywhere ends the command."""
    flipped = bytearray(SEALED)
    flipped[position] ^= 1

    with pytest.raises((SealBroken, InvalidInput)):
        opened(bytes(flipped))


@pytest.mark.parametrize("cut", range(0, len(SEALED), 41))
def test_no_truncated_command_opens(cut: int) -> None:
    """No prefix of a command opens."""
    with pytest.raises((SealBroken, InvalidInput)):
        opened(SEALED[:cut])


@pytest.mark.parametrize("field", ["uid", "conversation", "device"])
def test_a_command_is_bound_to_its_route(field: str) -> None:
    """Delivered to another gateway, conversation or in another device's name it does not open."""
    route = {
        "uid": COMMAND.gateway,
        "conversation": COMMAND.conversation,
        "device": COMMAND.device,
    }
    open_command(SEALED, BOX, **route)

    with pytest.raises(SealBroken):
        open_command(SEALED, BOX, **{**route, field: new_uid()})


def test_another_device_cannot_sign_for_it() -> None:
    """The signature is checked with the certified key of the device the command names."""
    forged = seal_command(COMMAND, SigningKey.generate(), BOX.public)

    with pytest.raises(SealBroken):
        opened(forged)


def reply(*, accepted: bool, command: bytes = SEALED) -> Reply:
    return Reply(COMMAND.conversation, command_hash(command), accepted, "", "", b"answer")


def read(data: bytes, *, secret: bytes = SECRET, command: bytes = SEALED) -> Reply:
    return open_reply(
        data, GATEWAY.public, secret=secret, conversation=COMMAND.conversation, command=command
    )


def test_replies_travel_sealed_and_signed() -> None:
    """Accepted and refused replies are read by who sent the command."""
    for accepted in (True, False):
        data = seal_reply(reply(accepted=accepted), GATEWAY, secret=SECRET)
        assert read(data).accepted is accepted


def test_a_clear_reply_only_refuses() -> None:
    """Without the conversation secret nothing can be accepted."""
    assert not read(seal_reply(reply(accepted=False), GATEWAY, secret=None)).accepted

    with pytest.raises(SealBroken):
        read(seal_reply(reply(accepted=True), GATEWAY, secret=None))


def test_replies_of_others_are_refused() -> None:
    """A router that answers itself, replays a reply or knows another secret gets nowhere."""
    good = seal_reply(reply(accepted=True), GATEWAY, secret=SECRET)
    own = seal_reply(reply(accepted=True), SigningKey.generate(), secret=SECRET)
    other_command = seal_command(COMMAND, DEVICE, BOX.public)

    with pytest.raises(SealBroken):
        read(own)
    with pytest.raises(SealBroken):
        read(good, command=other_command)
    with pytest.raises(SealBroken):
        read(good, secret=new_key())
    with pytest.raises((SealBroken, InvalidInput)):
        read(good[:-1])


@pytest.mark.parametrize(
    "message",
    [
        Send("c", "t", b"p"),
        Deliver("c", "s", b"p"),
        Undeliverable("c", "x", "y"),
        Head(1, bytes(32)),
        Hello("1", "n"),
    ],
)
def test_routed_messages_round_trip(message: Send) -> None:
    """Every control message is read as what it was."""
    data = msgspec.msgpack.encode(message)
    assert read_routed(data) == message
    for cut in range(len(data)):
        with pytest.raises(InvalidInput):
            read_routed(data[:cut])


@given(st.binary(max_size=300))
def test_any_bytes_give_only_documented_errors(data: bytes) -> None:
    """Hostile bytes end in InvalidInput or SealBroken and nothing else."""
    for parse in (read_routed, read, opened):
        try:
            parse(data)
        except (InvalidInput, SealBroken):
            continue


def test_offers_without_a_direct_path_read_as_before() -> None:
    """What is empty is left out: the bytes are those that earlier programs write and read."""
    offer, answer = Offer(("relay",), b""), OfferAnswer(("relay",), b"", "db:5432")

    assert encode(offer) == msgspec.msgpack.encode({"kinds": ["relay"], "webrtc": b""})
    assert encode(answer) == msgspec.msgpack.encode(
        {"kinds": ["relay"], "webrtc": b"", "target": "db:5432"}
    )
    assert decode(Offer, encode(offer)) == offer
    assert decode(OfferAnswer, encode(answer)) == answer


def test_offers_carry_where_a_direct_path_may_go() -> None:
    """The bytes of a direct path travel whole, and its empty form has one spelling only."""
    offer = Offer(("direct",), b"", b"somewhere")

    assert decode(Offer, encode(offer)) == offer
    with pytest.raises(InvalidInput, match="canonical"):
        decode(Offer, msgspec.msgpack.encode({"kinds": [], "webrtc": b"", "direct": b""}))


def test_a_stream_of_the_tunnels_own_port_says_nothing_of_ports() -> None:
    """What gateways that know one port read is what they always read."""
    assert encode(StreamMeta("psql")) == encode({"program": "psql"})
    assert decode(StreamMeta, encode(StreamMeta("psql", 8080)), limit=512).port == 8080
    with pytest.raises(InvalidInput):
        decode(StreamMeta, encode({"program": "psql", "port": 0}), limit=512)
