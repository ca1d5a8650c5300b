from __future__ import annotations

import contextlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commander.crypto import kdf
from commander.errors import InvalidInput, SealBroken
from commander.ksm.token import SEALED_APP_KEY_BYTES, TOKEN_BYTES, OneTimeToken
from tests.support.vectors import flips, load

OWN = load("own/ksm")[0]
TOKEN = OneTimeToken.parse(OWN["token"])
APP_KEY = bytes(32)
SEALED = TOKEN.seal_app_key(APP_KEY)


def test_recorded_token_means_the_same_today() -> None:
    """Client id, voucher key and application key of an old token are found again."""
    assert TOKEN.client_id.hex() == OWN["client_id"]
    assert TOKEN.voucher_key.public.raw.hex() == OWN["voucher_public"]
    assert TOKEN.open_app_key(bytes.fromhex(OWN["sealed_app_key"])) == APP_KEY


def test_client_id_is_the_hmac_of_the_protocol() -> None:
    """HMAC-SHA512 under the token of the label every SDK uses."""
    label = b"KEEPER_SECRETS_MANAGER_CLIENT_ID"

    assert TOKEN.client_id == hmac.digest(TOKEN.raw(), label, "sha512")
    assert TOKEN.voucher_key.raw() == kdf.derive(TOKEN.raw(), "ksm-voucher")


def test_tokens_are_new_and_never_look_like_an_option() -> None:
    """Made tokens differ, have 43 characters and read back; none starts with a dash."""
    tokens = {OneTimeToken.generate().text for _ in range(2000)}

    assert len(tokens) == 2000
    assert {len(text) for text in tokens} == {43}
    assert not [text for text in tokens if text.startswith("-")]
    assert all(OneTimeToken.parse(text).text == text for text in tokens)


@given(raw=st.binary(min_size=TOKEN_BYTES, max_size=TOKEN_BYTES))
def test_every_first_byte_is_judged(raw: bytes) -> None:
    """A token below the limit reads back; one above it, which would start with "-" or near, is refused."""
    if raw[0] < 0xF8:
        token = OneTimeToken(raw)
        assert OneTimeToken.parse(token.text).raw() == raw
    else:
        with pytest.raises(InvalidInput):
            OneTimeToken(raw)


@pytest.mark.parametrize(
    "text", ["", "x", OWN["token"][:-1], OWN["token"] + "A", "host:" + OWN["token"], "-" * 43,
             "+" + OWN["token"][1:], OWN["token"][:-1] + "=", OWN["token"][:-1] + "_", "é" * 43]
)  # fmt: skip
def test_other_texts_are_refused_without_being_quoted(text: str) -> None:
    """A mistyped token is named by its length at most."""
    with pytest.raises(InvalidInput) as caught:
        OneTimeToken.parse(text)

    assert len(text) < 5 or text not in str(caught.value)


def test_no_changed_app_key_opens() -> None:
    """A change at any place is noticed."""
    for changed in list(flips(SEALED)):
        with pytest.raises(SealBroken):
            TOKEN.open_app_key(changed)


@pytest.mark.parametrize("size", [0, 1, SEALED_APP_KEY_BYTES - 1, SEALED_APP_KEY_BYTES + 1])
def test_app_key_of_another_length_is_refused(size: int) -> None:
    """Only the 60 bytes of the protocol are looked at."""
    with pytest.raises(SealBroken):
        TOKEN.open_app_key((SEALED + b"\x00")[:size])


def test_app_key_opens_with_its_token_only() -> None:
    """Another token does not open it."""
    assert TOKEN.open_app_key(SEALED) == APP_KEY
    with pytest.raises(SealBroken):
        OneTimeToken.generate().open_app_key(SEALED)


@given(text=st.text(max_size=50) | st.text(min_size=43, max_size=43))
def test_any_text_gives_a_token_or_the_documented_error(text: str) -> None:
    """No text makes the reader fail otherwise."""
    with contextlib.suppress(InvalidInput):
        OneTimeToken.parse(text)


def test_repr_shows_no_token() -> None:
    """A token in a message or traceback stays private."""
    assert TOKEN.text not in repr(TOKEN)
    assert TOKEN.raw().hex() not in repr(TOKEN)
