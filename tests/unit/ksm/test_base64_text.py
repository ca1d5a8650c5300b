from __future__ import annotations

import base64
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commander.errors import InvalidInput
from commander.ksm.base64_text import from_any, to_standard


def read(text: str) -> bytes:
    return from_any(text, what="value", most=100)


@given(raw=st.binary(max_size=100))
def test_every_accepted_form_gives_the_same_bytes(raw: bytes) -> None:
    """Both alphabets are read, padded or not."""
    standard = to_standard(raw)
    url_safe = base64.urlsafe_b64encode(raw).decode()

    for text in (standard, standard.rstrip("="), url_safe, url_safe.rstrip("=")):
        assert read(text) == raw


@given(raw=st.binary(max_size=100))
def test_output_is_standard_with_padding(raw: bytes) -> None:
    """What goes out is what the strictest SDK demands."""
    assert base64.b64decode(to_standard(raw), validate=True) == raw


@pytest.mark.parametrize(
    "text",
    ["A", "AAA A", "AAAA\n", " AAAA", "AB", "AB==", "AA=", "AA===", "=", "====", "A=A=",
     "+_==", "-/8=", "ÄAAA", "AAAA====", "\x00\x00\x00\x00"],
)  # fmt: skip
def test_other_forms_are_refused(text: str) -> None:
    """White space, stray bits, wrong padding and mixed alphabets are errors."""
    with pytest.raises(InvalidInput, match=r"^value is not base64$"):
        read(text)


def test_length_is_bounded_on_both_sides() -> None:
    """Too short and too long are named with the sizes, and never with the value."""
    with pytest.raises(InvalidInput, match=r"^value has 2 bytes, not 3 to 4$"):
        from_any("AAA=", what="value", least=3, most=4)
    with pytest.raises(InvalidInput, match=r"^value has 5 bytes, not 4$"):
        from_any("AAAAAAA=", what="value", least=4, most=4)
    with pytest.raises(InvalidInput, match=r"^value is longer than 4 bytes$"):
        from_any("A" * 1000, what="value", most=4)


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 6, 7])
def test_exact_limits_are_taken(size: int) -> None:
    """The least and the most number of bytes are both allowed, whatever the padding."""
    text = to_standard(b"x" * size)

    assert from_any(text, what="value", least=size, most=size) == b"x" * size
    assert from_any(text, what="value", most=size) == b"x" * size
    with pytest.raises(InvalidInput, match=r"^value is longer than 0 bytes$"):
        from_any("AAAA", what="value", most=0)


@given(text=st.text(max_size=60) | st.text(alphabet="AB+/-_= \n", max_size=60))
def test_any_text_gives_bytes_or_the_documented_error(text: str) -> None:
    """No text makes the reader fail otherwise."""
    with contextlib.suppress(InvalidInput):
        read(text)
