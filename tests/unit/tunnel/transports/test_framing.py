from __future__ import annotations

from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commander.tunnel.codes import ProtocolViolation
from commander.tunnel.path import STREAM_MESSAGE_BYTES
from commander.tunnel.transports.framing import (
    MAX_FRAME_BYTES,
    FrameReader,
    frame_header,
)
from commander.wire.relay import FAREWELL_BYTES, write_farewell

BUFFER = memoryview(bytearray(4 * MAX_FRAME_BYTES))
MESSAGES = [b"first", b"x" * 300, b"\xff" * 16, b"last"]
STREAM = b"".join(frame_header(len(message)) + message for message in MESSAGES)


def read_in(reader: FrameReader, data: bytes) -> list[bytes]:
    """Let the reader receive as a socket would."""
    found = []
    while data:
        room = reader.buffer()
        count = min(len(room), len(data))
        room[:count] = data[:count]
        found += [bytes(message) for message in reader.received(count)]
        data = data[count:]
    return found


def test_header_is_the_length_in_four_bytes() -> None:
    """The layout on the wire."""
    assert frame_header(5) == b"\x00\x00\x00\x05"


@given(cuts=st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_messages_do_not_depend_on_how_the_network_cuts(cuts: list[int]) -> None:
    """However the bytes come, by read or by hand, the same messages are found."""
    places = sorted({0, *cuts, len(STREAM)})
    parts = [STREAM[start:end] for start, end in pairwise(places)]
    reading, fed = FrameReader(BUFFER), FrameReader(BUFFER)

    assert [message for part in parts for message in read_in(reading, part)] == MESSAGES
    assert [bytes(message) for part in parts for message in fed.feed(part)] == MESSAGES


def test_a_stream_cut_at_each_byte_yields_the_messages_before() -> None:
    """A message is told when it is whole, never before, and the cut breaks nothing."""
    for cut in range(len(STREAM)):
        reader = FrameReader(BUFFER)
        found = read_in(reader, STREAM[:cut])

        assert found == MESSAGES[: len(found)]
        assert found + read_in(reader, STREAM[cut:]) == MESSAGES


def test_the_largest_message_passes_in_small_pieces() -> None:
    """What is kept between reads may be nearly a whole message."""
    reader, largest = FrameReader(BUFFER), bytes(STREAM_MESSAGE_BYTES)
    stream = frame_header(len(largest)) + largest
    assert read_in(reader, stream[: MAX_FRAME_BYTES - 1]) == []
    assert read_in(reader, stream[MAX_FRAME_BYTES - 1 :]) == [largest]


@pytest.mark.parametrize("size", [0, STREAM_MESSAGE_BYTES + 1, 2**31, 2**32 - 1])
def test_an_impossible_length_is_a_violation(size: int) -> None:
    """Refused by its four bytes alone; nothing is kept for it."""
    with pytest.raises(ProtocolViolation):
        FrameReader(BUFFER).feed(frame_header(size))


def test_room_is_left_for_a_read_whatever_is_kept() -> None:
    """The shared buffer takes what is kept of a message and a whole one more."""
    reader = FrameReader(BUFFER)
    reader.feed(frame_header(STREAM_MESSAGE_BYTES) + bytes(1000))
    assert len(reader.buffer()) > MAX_FRAME_BYTES


def test_the_rest_of_a_large_message_is_read_to_its_place() -> None:
    """Once some of it is there, exactly what it lacks is read next, and not moved again."""
    reader, largest = FrameReader(BUFFER), bytes(STREAM_MESSAGE_BYTES)
    read_in(reader, frame_header(len(largest)) + largest[:5000])

    assert len(reader.buffer()) == len(largest) - 5000
    assert read_in(reader, largest[5000:] + STREAM) == [largest, *MESSAGES]


@given(cuts=st.lists(st.integers(0, 60_000), max_size=8))
def test_large_messages_do_not_depend_on_how_the_network_cuts(cuts: list[int]) -> None:
    """The same for messages that get a buffer of their own, with small ones between them."""
    messages = [b"a" * 20_000, b"b", b"c" * 30_000, b"d" * 5_000]
    stream = b"".join(frame_header(len(message)) + message for message in messages)
    places = sorted({0, *(cut for cut in cuts if cut < len(stream)), len(stream)})
    parts = [stream[start:end] for start, end in pairwise(places)]
    reading, fed = FrameReader(BUFFER), FrameReader(BUFFER)

    assert [message for part in parts for message in read_in(reading, part)] == messages
    assert [bytes(message) for part in parts for message in fed.feed(part)] == messages


def test_a_farewell_inside_a_large_message_is_found() -> None:
    """What cut it short stands at the end of what is there of it."""
    reader = FrameReader(BUFFER, has_farewell=True)
    read_in(reader, frame_header(STREAM_MESSAGE_BYTES) + bytes(100_000) + write_farewell(4010))

    assert reader.farewell() == 4010


def test_two_readers_share_one_buffer_and_nothing_else() -> None:
    """A read of one path does not disturb what another has received so far."""
    one, two = FrameReader(BUFFER), FrameReader(BUFFER)
    read_in(one, STREAM[:7])
    assert read_in(two, STREAM) == MESSAGES
    assert read_in(one, STREAM[7:]) == MESSAGES
    assert one.buffer().obj is two.buffer().obj is BUFFER.obj


def test_a_farewell_is_found_wherever_the_stream_was_cut() -> None:
    """The relay knows no borders: at a border or inside a message, its last word is understood."""
    for cut in range(len(STREAM) + 1):
        reader = FrameReader(BUFFER, has_farewell=True)
        read_in(reader, STREAM[:cut])
        missing = min(end for end in borders() if end >= cut) - cut
        has_length = cut - max(end for end in borders() if end <= cut) >= len(frame_header(0))

        # A message whose length is known and that lacks no more bytes than a farewell has swallows it:
        # the seal or the next length finds that out.
        if has_length and missing <= FAREWELL_BYTES:
            with suppress(ProtocolViolation):
                read_in(reader, write_farewell(4010))
            assert reader.farewell() is None
        else:
            read_in(reader, write_farewell(4010))
            assert reader.farewell() == 4010


def borders() -> list[int]:
    """Where messages end in STREAM."""
    ends = [0]
    for message in MESSAGES:
        ends.append(ends[-1] + len(frame_header(0)) + len(message))
    return ends


def test_a_farewell_in_pieces_is_understood() -> None:
    """Its own bytes may be cut as well."""
    reader = FrameReader(BUFFER, has_farewell=True)
    for byte in write_farewell(4003):
        assert reader.farewell() is None
        assert reader.feed(bytes([byte])) == []
    assert reader.farewell() == 4003


def test_nothing_follows_a_farewell() -> None:
    """Bytes after it are not of our relay."""
    with pytest.raises(ProtocolViolation):
        FrameReader(BUFFER, has_farewell=True).feed(write_farewell(4010) + b"x")


def test_a_stream_without_farewell_has_none() -> None:
    """An ordinary end, inside a message or not, has no last word; what only looks like one is refused."""
    reader = FrameReader(BUFFER, has_farewell=True)
    assert reader.farewell() is None
    reader.feed(frame_header(100) + bytes(50))
    assert reader.farewell() is None
    with pytest.raises(ProtocolViolation):
        FrameReader(BUFFER, has_farewell=True).feed(b"\xff\xff\xff\xffcmdr-other\x0f\xaa")


def test_a_peer_cannot_speak_for_the_relay() -> None:
    """Where no relay is between, its last word is a violation like any impossible length."""
    with pytest.raises(ProtocolViolation):
        FrameReader(BUFFER).feed(write_farewell(4010))
    reader = FrameReader(BUFFER)
    reader.feed(frame_header(100) + write_farewell(4010))
    assert reader.farewell() is None
