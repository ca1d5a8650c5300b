"""Direct paths: offers and answers of a peer, greetings of anybody, and the stream of messages."""

from __future__ import annotations

from commander.errors import InvalidInput, SealBroken
from commander.tunnel.codes import ProtocolViolation
from commander.tunnel.path import STREAM_MESSAGE_BYTES
from commander.tunnel.transports.direct_offer import (
    CALLED,
    CALLER,
    MAX_ADDRESSES,
    Ticket,
    read_answer,
    read_offer,
    write_answer,
    write_offer,
)
from commander.tunnel.transports.framing import (
    MAX_FRAME_BYTES,
    FrameReader,
    frame_header,
)
from commander.wire.relay import write_farewell

NAME = "direct"
BUFFER = memoryview(bytearray(4 * MAX_FRAME_BYTES))
_TICKET = Ticket(bytes(32))
_OTHER = Ticket(b"t" * 32)


def seeds() -> list[bytes]:
    """One of each, and a stream of three messages with a farewell."""
    stream = b"".join(frame_header(size) + bytes(size) for size in (1, 300, 7))
    return [
        write_offer(_TICKET, 40000, ["10.0.0.1", "2001:db8::1"], host_identity=b"host"),
        write_answer(_TICKET, "gateway.example", 4433, host_identity=b"host"),
        write_answer(_TICKET, "", 0, host_identity=b""),
        _TICKET.greeting(CALLER, 1),
        _TICKET.greeting(CALLED, 1),
        stream + write_farewell(4010),
    ]


def fuzz(data: bytes) -> None:
    """Whatever parses is within its bounds, and no greeting is good for another token."""
    try:
        offer = read_offer(data)
        assert 1 <= len(offer.addresses) <= MAX_ADDRESSES
        assert 1024 <= offer.port <= 65535
    except InvalidInput:
        pass
    try:
        answer = read_answer(data)
        assert bool(answer.host) == bool(answer.port)
    except InvalidInput:
        pass
    for role in (CALLER, CALLED):
        try:
            _OTHER.check(data, role=role, carriers=4)
        except SealBroken:
            continue
        raise AssertionError("a greeting was made without the token")
    _read_messages(data)


def _read_messages(data: bytes) -> None:
    whole = FrameReader(BUFFER, has_farewell=True)
    try:
        messages = [bytes(message) for message in whole.feed(data)]
    except ProtocolViolation:
        return
    assert all(0 < len(message) <= STREAM_MESSAGE_BYTES for message in messages)
    bytewise = FrameReader(BUFFER, has_farewell=True)
    found = [bytes(m) for at in range(len(data)) for m in bytewise.feed(data[at : at + 1])]
    assert found == messages
    assert bytewise.farewell() == whole.farewell()
