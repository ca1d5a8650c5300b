from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commander.tunnel import frames
from commander.tunnel.codes import ProtocolViolation

STREAMS = st.integers(1, frames.MAX_STREAM)
OFFSETS = st.integers(0, frames.MAX_OFFSET)
TOKENS = st.integers(0, 2**64 - 1)
REASONS = st.text(max_size=300).map(frames.clip_reason)
GENERATIONS = st.integers(0, 65535)
FRAMES = st.one_of(
    st.builds(frames.Open, STREAMS, st.binary(max_size=50)),
    st.builds(frames.Opened, STREAMS),
    st.builds(frames.Data, STREAMS, OFFSETS, st.binary(min_size=1, max_size=100)),
    st.builds(frames.Eof, STREAMS, OFFSETS),
    st.builds(frames.Reset, STREAMS, st.integers(0, 65535), REASONS),
    st.builds(frames.Credit, STREAMS, OFFSETS),
    st.builds(frames.Ack, STREAMS, OFFSETS),
    st.builds(frames.Ping, TOKENS),
    st.builds(frames.Pong, TOKENS),
    st.builds(frames.Abandon, GENERATIONS),
    st.builds(frames.Close, st.integers(0, 65535), REASONS),
    st.builds(frames.Progress, TOKENS),
    st.builds(frames.Prefer, GENERATIONS),
    st.builds(frames.Bye),
)
ONE_OF_EACH: list[frames.Frame] = [
    frames.Open(1, b"meta"),
    frames.Opened(1),
    frames.Data(1, 7, b"bytes"),
    frames.Eof(1, 12),
    frames.Reset(3, 2, "refused"),
    frames.Credit(1, 70000),
    frames.Ack(1, 13),
    frames.Ping(5),
    frames.Pong(5),
    frames.Abandon(2),
    frames.Close(1, "stopped"),
    frames.Progress(99),
    frames.Prefer(513),
    frames.Bye(),
]
VECTOR = bytes.fromhex(
    "01"
    "01 00000001 0004 6d657461"
    "02 00000001"
    "03 00000001 0000000000000007 00000005 6279746573"
    "04 00000001 000000000000000c"
    "05 00000003 0002 0007 72656675736564"
    "06 00000001 0000000000011170"
    "07 00000001 000000000000000d"
    "08 0000000000000005"
    "09 0000000000000005"
    "0a 0002"
    "0b 0001 0007 73746f70706564"
    "0c 0000000000000063"
    "0d 0201"
    "0e"
)


def test_the_layout_of_version_1_is_fixed() -> None:
    """One frame of each kind gives the published bytes, and these give the frames."""
    assert frames.message_of(ONE_OF_EACH) == VECTOR
    assert frames.parse(VECTOR) == ONE_OF_EACH


@given(st.lists(FRAMES, min_size=1, max_size=20))
def test_frames_survive_the_round_trip(sent: list[frames.Frame]) -> None:
    """What is serialized parses to the same frames in the same order."""
    assert frames.parse(frames.message_of(sent)) == sent


def test_a_truncated_message_never_gives_other_frames() -> None:
    """Each prefix is an error, or whole frames from the front."""
    for cut in range(len(VECTOR)):
        try:
            parsed = frames.parse(VECTOR[:cut])
        except ProtocolViolation:
            continue
        assert parsed == ONE_OF_EACH[: len(parsed)]
        assert frames.message_of(parsed) == VECTOR[:cut]


@given(st.binary(max_size=200))
def test_random_bytes_give_frames_or_the_one_error(noise: bytes) -> None:
    """No other exception leaves the parser."""
    for message in (noise, b"\x01" + noise):
        try:
            parsed = frames.parse(message)
        except ProtocolViolation:
            continue
        assert frames.message_of(parsed) == message


@pytest.mark.parametrize(
    "hexadecimal",
    [
        "",
        "01",
        "02 08 0000000000000005",
        "01 00",
        "01 0f 0000000000000005",
        "01 02 00000000",
        "01 03 00000001 0000000000000000 00000000",
        "01 03 00000001 0000000000000000 00000002 61",
        "01 03 00000001 4000000000000000 00000001 61",
        "01 01 00000001 1001" + "00" * 4097,
        "01 05 00000001 0001 0101" + "61" * 257,
        "01 05 00000001 0001 0001 ff",
        "01 05 00000001 0001 0001 1b",
        "01 0b 0001 0002 0a61",
        "01 0a 00",
        "01 0d 00",
        "01 06 00000001 ffffffffffffffff",
    ],
)
def test_malformed_messages_are_rejected(hexadecimal: str) -> None:
    """Wrong versions, kinds, lengths, ids, offsets and reasons are all one error."""
    with pytest.raises(ProtocolViolation):
        frames.parse(bytes.fromhex(hexadecimal))


def test_a_message_with_too_many_frames_is_rejected() -> None:
    """One message cannot cause more than 4,096 events."""
    fits = [frames.Opened(1)] * frames.MAX_FRAMES
    assert len(frames.parse(frames.message_of(fits))) == frames.MAX_FRAMES

    with pytest.raises(ProtocolViolation):
        frames.parse(frames.message_of([*fits, frames.Opened(1)]))


@given(st.text(max_size=600))
def test_a_clipped_reason_is_always_accepted(text: str) -> None:
    """Whatever text a failure has, its reason parses at the far end."""
    reset = frames.Reset(1, 1, frames.clip_reason(text))
    assert frames.parse(frames.message_of([reset])) == [reset]


def test_data_are_views_and_not_copies() -> None:
    """The parser does not copy bulk bytes."""
    parsed = frames.parse(frames.message_of([frames.Data(1, 0, b"x" * 1000)]))
    assert isinstance(parsed[0], frames.Data)
    assert isinstance(parsed[0].data, memoryview)
