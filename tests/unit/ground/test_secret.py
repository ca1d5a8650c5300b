from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commander.secret import Secret

SECRET = Secret("hunter2")


@pytest.mark.parametrize(
    "show",
    [repr, str, format, lambda s: f"{s}", lambda s: f"{s!r:>30}", lambda s: f"{s!s}",
     lambda s: "{} {!r}".format(*[s, s]), lambda s: str([s]), lambda s: f"{s:x^20}"],
)  # fmt: skip
def test_no_way_of_showing_shows_it(show: Callable[[Secret], str]) -> None:
    """Every conversion to text gives the placeholder."""
    shown = show(SECRET)

    assert "<secret>" in shown
    assert "hunter2" not in shown
    assert b"hunter2".hex() not in shown


@pytest.mark.parametrize(
    "take", [pickle.dumps, copy.copy, copy.deepcopy, json.dumps, hash, vars, iter, bytes]
)
def test_it_is_not_pickled_copied_hashed_or_listed(take: Callable[[object], object]) -> None:
    """Ways by which values leave a process unnoticed are errors."""
    with pytest.raises(TypeError) as caught:
        take(SECRET)

    assert "hunter2" not in str(caught.value)


@given(raw=st.binary(max_size=50))
def test_bytes_come_back_by_reveal(raw: bytes) -> None:
    """`reveal` is the one way, whatever it was made of."""
    assert Secret(raw).reveal() == Secret(bytearray(raw)).reveal() == raw
    assert len(Secret(raw)) == len(raw)


def test_text_is_utf8() -> None:
    """Text goes in and comes out."""
    assert Secret("pässword").reveal_text() == "pässword"
    assert Secret("ä").reveal() == b"\xc3\xa4"


def test_wipe_overwrites_in_place() -> None:
    """After it, zeros of the same length are there, and the caller's bytearray is untouched."""
    source = bytearray(b"hunter2")
    secret = Secret(source)

    secret.wipe()

    assert secret.reveal() == bytes(7)
    assert source == b"hunter2"


def test_equality_is_by_value_and_with_secrets_only() -> None:
    """Equal bytes are equal; a plain text never is."""
    assert Secret("a") == Secret(b"a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert Secret("") == Secret(b"")


def test_no_attribute_can_be_added() -> None:
    """There is no dictionary that a dump could show."""
    with pytest.raises(AttributeError):
        SECRET.copy = b"hunter2"  # type: ignore[attr-defined]
