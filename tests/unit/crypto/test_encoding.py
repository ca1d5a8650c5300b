from __future__ import annotations

import base64
import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commander.crypto.encoding import Field, encode, from_base64url, to_base64url
from commander.errors import InvalidInput
from tests.support.vectors import load

FIELDS = st.lists(st.one_of(st.binary(max_size=20), st.text(max_size=20)), max_size=5)


def field_of(value: Any) -> Field:
    if isinstance(value, dict):
        return bytes.fromhex(value["hex"])
    assert isinstance(value, str | int)
    return value


@pytest.mark.parametrize("case", load("own/encoding"), ids=lambda case: str(case["purpose"]))
def test_encoding_gives_the_recorded_bytes(case: dict[str, Any]) -> None:
    """What was signed in the past is encoded the same way today."""
    fields = [field_of(value) for value in case["fields"]]

    assert encode(case["purpose"], *fields).hex() == case["encoded"]


def split(data: bytes) -> list[bytes]:
    parts = []
    while data:
        size = int.from_bytes(data[:4], "big")
        parts.append(data[4 : 4 + size])
        data = data[4 + size :]
    return parts


@given(purpose=st.text(max_size=20), fields=FIELDS)
def test_fields_can_be_read_back(purpose: str, fields: list[bytes | str]) -> None:
    """The encoding is unambiguous: purpose and fields can be cut out again."""
    raw = [field.encode() if isinstance(field, str) else field for field in fields]

    assert split(encode(purpose, *fields)) == [f"commander/v1/{purpose}".encode(), *raw]


@given(one=FIELDS, other=FIELDS)
def test_different_fields_never_give_the_same_bytes(
    one: list[bytes | str], other: list[bytes | str]
) -> None:
    """Moving a border between fields changes the encoding."""
    same = [f.encode() if isinstance(f, str) else f for f in one] == [
        f.encode() if isinstance(f, str) else f for f in other
    ]

    assert (encode("p", *one) == encode("p", *other)) is same


@pytest.mark.parametrize("number", [-1, 2**64])
def test_number_outside_eight_bytes_is_an_error(number: int) -> None:
    """A number is never cut to fit."""
    with pytest.raises(OverflowError):
        encode("p", number)


@given(raw=st.binary(max_size=100))
def test_base64url_round_trip(raw: bytes) -> None:
    """Reading gives back what was written, without padding."""
    text = to_base64url(raw)

    assert from_base64url(text) == raw
    assert "=" not in text


@pytest.mark.parametrize("before", [b"", b"\x00", b"\x00\x00"])
def test_base64url_of_every_last_byte(before: bytes) -> None:
    """Only the padding is taken off, whatever character comes before it."""
    for last in range(256):
        raw = before + bytes([last])
        text = to_base64url(raw)
        assert base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_") == raw
        assert from_base64url(text) == raw


@pytest.mark.parametrize(
    "text", ["AA==", "AA=", "A", "AB", "A A", "AA\n", " AA", "+/8", "ÄÄ", "AAAA=", "\x00"]
)
def test_other_forms_of_base64_are_refused(text: str) -> None:
    """Padding, white space, stray bits and the other alphabet are errors."""
    with pytest.raises(InvalidInput):
        from_base64url(text)


@given(text=st.text(max_size=40))
def test_any_text_gives_bytes_or_the_documented_error(text: str) -> None:
    """No text makes the reader fail otherwise."""
    with contextlib.suppress(InvalidInput):
        assert to_base64url(from_base64url(text)) == text
