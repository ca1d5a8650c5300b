from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commander.errors import InvalidInput
from commander.wire.relay import (
    FAREWELL_BYTES,
    MAX_AUTHORIZATION,
    MAX_CONVERSATION,
    PEER_GONE,
    PREFIX_LIMIT,
    RelayAnswer,
    RelayPrefix,
    farewell_text,
    find_farewell,
    may_be_farewell,
    read_answer,
    read_prefix,
    write_answer,
    write_farewell,
    write_prefix,
)

TEXT = st.text(st.characters(codec="ascii"), max_size=60)
PREFIX = RelayPrefix("conversation", "00ff" * 100)
WHOLE = write_prefix(PREFIX)


@given(conversation=TEXT, authorization=TEXT, more=st.binary(max_size=5))
def test_a_prefix_survives_the_wire(conversation: str, authorization: str, more: bytes) -> None:
    """And its reader knows where it ends."""
    prefix = RelayPrefix(conversation, authorization)
    data = write_prefix(prefix)
    assert read_prefix(data + more) == (prefix, len(data))


def test_layouts_on_the_wire() -> None:
    """What another program would have to write."""
    assert write_prefix(RelayPrefix("ab", "cde")) == b"\0cmdrrl\x01\x02ab\x00\x03cde"
    assert write_answer(RelayAnswer(0)) == b"\x01\x00\x00\x00"
    assert write_answer(RelayAnswer(403, "no")) == b"\x01\x01\x93\x02no"
    assert write_farewell(4010) == b"\xff\xff\xff\xffcmdr-relay\x0f\xaa"


def test_a_prefix_cut_at_each_byte_is_not_one_yet() -> None:
    """It is waited for, never taken for something shorter."""
    for cut in range(len(WHOLE)):
        assert read_prefix(WHOLE[:cut]) is None


@pytest.mark.parametrize("place", range(8))
def test_strangers_are_known_by_their_first_wrong_byte(place: int) -> None:
    """HTTP, TLS in TLS, another version: nothing is waited for."""
    with pytest.raises(InvalidInput):
        read_prefix(WHOLE[:place] + b"?")


@pytest.mark.parametrize(
    "data",
    [
        b"\0cmdrrl\x01" + bytes([MAX_CONVERSATION + 1]),
        b"\0cmdrrl\x01\x01a" + (MAX_AUTHORIZATION + 1).to_bytes(2, "big"),
        b"\0cmdrrl\x01\x01\xff\x00\x00",
        b"\0cmdrrl\x01\x01a\x00\x01\xff",
    ],
)
def test_prefixes_over_a_limit_or_of_other_text_are_refused(data: bytes) -> None:
    """By the length alone, before the bytes are waited for."""
    with pytest.raises(InvalidInput):
        read_prefix(data)


def test_the_largest_prefix_is_within_the_limit() -> None:
    """What a reader must be able to keep."""
    largest = RelayPrefix("c" * MAX_CONVERSATION, "a" * MAX_AUTHORIZATION)
    assert len(write_prefix(largest)) == PREFIX_LIMIT


@given(status=st.integers(0, 65535), code=TEXT)
def test_an_answer_survives_the_wire(status: int, code: str) -> None:
    """Cut at any byte it is waited for; what follows is not touched."""
    answer = RelayAnswer(status, code)
    data = write_answer(answer)
    assert read_answer(data + b"more") == (answer, len(data))
    assert all(read_answer(data[:cut]) is None for cut in range(len(data)))


@pytest.mark.parametrize("data", [b"\x02", b"HTTP/1.1 400", b"\x01\x00\x00\x01\xff"])
def test_other_answers_are_refused(data: bytes) -> None:
    """A web server that speaks HTTP, another version, no plain text."""
    with pytest.raises(InvalidInput):
        read_answer(data)


def test_a_farewell_is_found_at_the_end_only() -> None:
    """The last sixteen bytes, whatever was cut short before them."""
    word = write_farewell(4003)
    assert find_farewell(word) == find_farewell(b"cut mess" + word) == 4003
    assert find_farewell(word + b"x") is None
    assert find_farewell(word[1:]) is None
    assert find_farewell(b"x" * FAREWELL_BYTES) is None


def test_people_read_no_number_where_there_are_words() -> None:
    """The far end's leaving is the one that a session shows every day."""
    assert farewell_text(PEER_GONE) == "the other side left the relay"
    assert farewell_text(1012) == "the relay closed (1012)"
    assert farewell_text(None) == "the relay closed (without a word)"


@pytest.mark.parametrize("before", [b"", b"\0", b"\0\0", b"\0\0\1"])
def test_the_beginning_of_a_farewell_is_known(before: bytes) -> None:
    """After none to three bytes of a length; more than a farewell is none."""
    word = write_farewell(1012)
    assert all(may_be_farewell(before + word[:cut]) for cut in range(1, FAREWELL_BYTES + 1))
    assert not may_be_farewell(before + word + b"xxxx")
    assert not may_be_farewell(b"")
    assert not may_be_farewell(b"\0\0\0\0" + word)
    assert not may_be_farewell(b"nothing like it")
