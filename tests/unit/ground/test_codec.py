from __future__ import annotations

import contextlib
from typing import Annotated

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from commander.codec import Message, decode, encode
from commander.errors import InvalidInput


class Sample(Message, frozen=True):
    number: Annotated[int, msgspec.Meta(ge=0)]
    text: str
    raw: bytes
    items: tuple[int, ...] = ()


SAMPLE = Sample(300, "é", b"\x00\xff", (1, 2))
DATA = encode(SAMPLE)


@given(
    number=st.integers(0, 2**63 - 1),
    text=st.text(max_size=20),
    raw=st.binary(max_size=20),
    items=st.lists(st.integers(-(2**63), 2**63 - 1), max_size=4),
)
def test_round_trip(number: int, text: str, raw: bytes, items: list[int]) -> None:
    """Every value is read back, and written again gives the same bytes."""
    sample = Sample(number, text, raw, tuple(items))

    assert decode(Sample, encode(sample)) == sample


@pytest.mark.parametrize("cut", range(len(DATA)))
def test_cut_message_is_refused(cut: int) -> None:
    """A message cut at any place is refused."""
    with pytest.raises(InvalidInput):
        decode(Sample, DATA[:cut])


def pack(**fields: object) -> bytes:
    return msgspec.msgpack.encode(fields)


@pytest.mark.parametrize(
    "data",
    [
        DATA + b"\x00",
        pack(number=1, text="a", raw=b"", items=[], more=1),
        pack(number=1, text="a", raw=b""),
        pack(text="a", number=1, raw=b"", items=[]),
        pack(number=-1, text="a", raw=b"", items=[]),
        pack(number="1", text="a", raw=b"", items=[]),
        pack(number=1.0, text="a", raw=b"", items=[]),
        pack(number=1, text=b"a", raw=b"", items=[]),
        DATA.replace(b"\xcd\x01\x2c", b"\xce\x00\x00\x01\x2c"),
        b"\x85" + DATA[1:] + b"\xa6number\x01",
        b"\x91" * 100_000,
        b"\xdd\xff\xff\xff\xff",
        b"\xc1",
    ],
    ids=["trailing", "unknown-field", "default-left-out", "order", "range", "type", "float",
         "bytes-for-text", "longer-integer", "twice", "deep", "huge-array", "reserved"],
)  # fmt: skip
def test_any_other_form_is_refused(data: bytes) -> None:
    """There is one form for a value; all others are errors, whatever they would mean."""
    with pytest.raises(InvalidInput):
        decode(Sample, data)


def test_size_is_bounded_before_parsing() -> None:
    """One byte over the limit is refused; the limit itself is fine."""
    assert decode(Sample, DATA, limit=len(DATA)) == SAMPLE
    with pytest.raises(InvalidInput, match=f"over the limit of {len(DATA) - 1}"):
        decode(Sample, DATA, limit=len(DATA) - 1)


@given(data=st.binary(max_size=80))
def test_any_bytes_give_a_value_or_the_documented_error(data: bytes) -> None:
    """Random bytes never fail otherwise."""
    with contextlib.suppress(InvalidInput):
        assert encode(decode(Sample, data)) == data
