from __future__ import annotations

import contextlib
import json
import time
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from commander.errors import InvalidInput
from commander.ksm.strict_json import MAX_DEPTH, decode_object

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=10,
)


class Sample(msgspec.Struct):
    number: int
    text: str | None = None


def read(data: bytes) -> Any:
    return decode_object(data, dict[str, Any], what="sample", limit=100_000)


@given(value=st.dictionaries(st.text(max_size=5), JSON, max_size=4))
def test_round_trip(value: dict[str, Any]) -> None:
    """Any plain object is read back, pretty-printed and padded or not."""
    assert read(json.dumps(value).encode()) == value
    assert read(json.dumps(value, indent=4, ensure_ascii=False).encode() + b"  \n") == value


def test_object_is_read_as_the_type_asked_for() -> None:
    """Unknown keys are passed over, null is absent."""
    data = b'{"number": 1, "text": null, "new": [1]}'

    assert decode_object(data, Sample, what="sample", limit=100) == Sample(1)


@pytest.mark.parametrize(
    "data",
    [
        b"", b" ", b"[]", b"1", b"null", b'"{}"', b"{", b"}", b"{}{}", b"{} x", b"{,}", b"{'a':1}",
        b'{"a":1,"a":2}', b'{"x":{"a":1,"a":2}}', b'{"a":NaN}', b'{"a":-Infinity}', b'{"a":01}',
        b'{"a":"\xff"}', b'{"a":"\\ud800"}', b'{"a":"\n"}', b"\xef\xbb\xbf{}", b'{"a":1e999}',
        b'{"a":' + b"1" * 5000 + b"}", b"{}\x00", b'\x00{"a":1}', "{}".encode("utf-16"),
    ],
)  # fmt: skip
def test_ambiguous_or_broken_text_is_refused(data: bytes) -> None:
    """Whatever two readers could understand differently is an error that names what it is."""
    with pytest.raises(InvalidInput, match=r"^sample is malformed"):
        read(data)


def test_wrong_type_is_refused_with_its_place() -> None:
    """The message says where, so that the sender can be repaired."""
    with pytest.raises(InvalidInput, match=r"\$\.number"):
        decode_object(b'{"number": "1"}', Sample, what="sample", limit=100)


def nested(depth: int) -> bytes:
    return b'{"a":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


def test_depth_is_bounded() -> None:
    """The deepest allowed object is read, one more level is refused."""
    read(nested(MAX_DEPTH))

    with pytest.raises(InvalidInput, match="deeper than 16"):
        read(nested(MAX_DEPTH + 1))
    with pytest.raises(InvalidInput, match="deeper than 16"):
        read(b"[" * 90_000)


def test_width_is_not_depth() -> None:
    """Any number of neighbours is read, and depth is counted right after them."""
    flat: dict[str, Any] = {"a": [[]] * 100, "b": [{}] * 100, "c": {"d": [], "e": {}}}

    assert read(json.dumps(flat).encode()) == flat
    with pytest.raises(InvalidInput, match="deeper than 16"):
        read(b'{"a": [' + b"[],{}," * 100 + b"[" * 15)


def test_numbers_are_bounded_in_digits() -> None:
    """Twenty-four characters are read, one more is refused, in integers and fractions."""
    assert read(b'{"a": 0.' + b"1" * 22 + b"}") == {"a": 0.1111111111111111}

    for number in (b"1" * 25, b"0." + b"1" * 23, b"-" + b"1" * 24):
        with pytest.raises(InvalidInput, match="a number is too long"):
            read(b'{"a": ' + number + b"}")


def test_brackets_in_texts_are_not_depth() -> None:
    """A text may hold any number of brackets and escaped quotes."""
    value = {"a": '["{' * 100, "b\\": "[[[[" * 10}

    assert read(json.dumps(value).encode()) == value


def test_size_is_bounded() -> None:
    """One byte over the limit is refused before anything is parsed."""
    with pytest.raises(InvalidInput, match="longer than 10 bytes"):
        decode_object(b'{"a": 1234}', dict[str, Any], what="sample", limit=10)


@pytest.mark.parametrize("piece", [b'"', b'\\"', b'"\\', b'{"a":', b"[]", b'"\\"', b"\\"])
def test_hostile_text_takes_linear_time(piece: bytes) -> None:
    """A megabyte of any pattern is refused in well under the time a square would take."""
    data = (piece * (1024 * 1024 // len(piece)))[: 1024 * 1024]
    started = time.monotonic()

    for prefix in (b"", b'"'):
        with pytest.raises(InvalidInput):
            decode_object(prefix + data, dict[str, Any], what="sample", limit=2**21)

    assert time.monotonic() - started < 20


@given(data=st.binary(max_size=60) | st.text(alphabet='{}[]",:\\ua1 ', max_size=60).map(str.encode))
def test_any_bytes_give_an_object_or_the_documented_error(data: bytes) -> None:
    """No bytes make the reader fail otherwise."""
    with contextlib.suppress(InvalidInput):
        assert isinstance(read(data), dict)
