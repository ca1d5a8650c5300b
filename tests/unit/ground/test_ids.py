from __future__ import annotations

import contextlib
import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commander.errors import InvalidInput
from commander.ids import UID_BYTES, encode_uid, is_uid, new_uid, parse_uid

UID = "AAECAwQFBgcICQoLDA0ODw"


def test_new_uids_differ_and_never_look_like_an_option() -> None:
    """Ten thousand identifiers: all different, all valid, none starts with a dash."""
    made = {new_uid() for _ in range(10_000)}

    assert len(made) == 10_000
    assert all(is_uid(uid) for uid in made)
    assert not [uid for uid in made if uid.startswith("-")]


def test_first_byte_that_would_give_a_dash_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """A draw from the forbidden range is drawn again in its first byte."""
    monkeypatch.setattr(secrets, "token_bytes", lambda size: b"\xf8" * size)

    uid = new_uid()

    assert not uid.startswith("-")
    assert uid[2:] == encode_uid(b"\xf8" * UID_BYTES)[2:]


@given(raw=st.binary(min_size=UID_BYTES, max_size=UID_BYTES))
def test_any_sixteen_bytes_round_trip_unless_they_give_a_dash(raw: bytes) -> None:
    """What is written is an identifier exactly when it does not start with a dash."""
    text = encode_uid(raw)

    assert len(text) == 22
    assert is_uid(text) is not text.startswith("-")
    if is_uid(text):
        assert parse_uid(text) == parse_uid(text + "==") == text


def test_known_uid() -> None:
    """The form is base64url without padding."""
    assert encode_uid(bytes(range(16))) == UID


@pytest.mark.parametrize(
    "text",
    ["", "x", UID[:-1], UID + "A", "-" + UID[1:], UID[:-1] + "x", UID[:-1] + "+", UID + "===",
     UID + "\n", " " + UID, UID[:-1] + "é", "=" * 22, UID[:10] + "\x00" + UID[11:], UID * 1000],
)  # fmt: skip
def test_other_texts_are_refused(text: str) -> None:
    """Other lengths, alphabets, stray bits, white space and a leading dash are no identifiers."""
    assert not is_uid(text)
    with pytest.raises(InvalidInput, match="is not a UID") as caught:
        parse_uid(text)
    assert len(str(caught.value)) < 120


@given(text=st.text(max_size=30))
def test_any_text_is_judged_without_another_error(text: str) -> None:
    """Reading never fails otherwise, and what is read is an identifier."""
    with contextlib.suppress(InvalidInput):
        assert is_uid(parse_uid(text))
