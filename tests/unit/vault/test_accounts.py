from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commander.crypto import aead
from commander.crypto.signing import SigningKey
from commander.errors import InvalidInput, Tampered
from commander.vault.accounts import (
    AccountSecret,
    Identity,
    LoginKeys,
    check_new_password,
    derive_login_keys,
    find_account_secret,
    unwrap_data_key,
    unwrap_identity,
    wrap_data_key,
    wrap_identity,
)

EMAIL = "ann@example.org"
SECRET = AccountSecret(bytes(range(16)))
KEYS = LoginKeys(SigningKey(bytes(32)), bytes(range(32)))


@given(raw=st.binary(min_size=16, max_size=16))
def test_account_secret_survives_its_text(raw: bytes) -> None:
    """Text and back is the same secret."""
    secret = AccountSecret(raw)

    assert AccountSecret.parse(secret.text) == secret
    assert len(secret.text) == 38


def test_account_secret_is_read_as_people_write_it() -> None:
    """Case, blanks, missing dashes and look-alike letters do not matter."""
    text = SECRET.text

    assert AccountSecret.parse(text.lower().replace("-", " ")) == SECRET
    assert AccountSecret.parse("A1" + text[3:].replace("-", "").replace("0", "o")) == SECRET


@given(raw=st.binary(min_size=16, max_size=16), place=st.integers(3, 37), other=st.integers(1, 31))
def test_one_wrong_character_is_noticed(raw: bytes, place: int, other: int) -> None:
    """The checksum finds every single slip of the pen (up to one in four million)."""
    alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    text = AccountSecret(raw).text
    if text[place] == "-":
        return
    wrong = alphabet[(alphabet.index(text[place]) + other) % 32]

    with pytest.raises(InvalidInput):
        AccountSecret.parse(text[:place] + wrong + text[place + 1 :])


@pytest.mark.parametrize("cut", range(38))
def test_truncated_account_secret_is_refused(cut: int) -> None:
    """No beginning of the text is a secret."""
    with pytest.raises(InvalidInput):
        AccountSecret.parse(SECRET.text[:cut])


@given(text=st.text(max_size=80))
def test_random_text_is_no_account_secret(text: str) -> None:
    """Only the documented error comes out."""
    try:
        AccountSecret.parse(text)
    except InvalidInput:
        return


def test_account_secret_is_found_in_a_kit() -> None:
    """The whole kit may be given as the file."""
    kit = f"account: ann\naccount secret:  {SECRET.text}\nlogin string: join1.AAAA\n"

    assert find_account_secret(kit) == SECRET


def test_account_secret_is_not_shown() -> None:
    """Its repr, as in a traceback, tells nothing."""
    assert "0001020304" not in repr(SECRET)
    assert repr(KEYS).count("SigningKey") == 0


def test_login_keys_depend_on_all_three() -> None:
    """Password, account secret and e-mail each change both keys; Unicode forms do not."""
    base = derive_login_keys(b"correct horse", SECRET, EMAIL)
    others = [
        derive_login_keys(b"correct Horse", SECRET, EMAIL),
        derive_login_keys(b"correct horse", AccountSecret(bytes(16)), EMAIL),
        derive_login_keys(b"correct horse", SECRET, "bob@example.org"),
    ]

    for other in others:
        assert other.wrap != base.wrap
        assert other.login.public.raw != base.login.public.raw
    composed = derive_login_keys("caf\u00e9-caf\u00e9".encode(), SECRET, EMAIL)
    decomposed = derive_login_keys("cafe\u0301-cafe\u0301".encode(), SECRET, EMAIL)
    assert composed.wrap == decomposed.wrap


@pytest.mark.parametrize("password", [b"", b"short", b"x" * 1025, b"\xff" * 12])
def test_bad_new_passwords_are_refused(password: bytes) -> None:
    """Too short, over 1 KiB, or not text."""
    with pytest.raises(InvalidInput):
        check_new_password(password)


def test_good_new_password_is_taken() -> None:
    """Eight characters are enough."""
    check_new_password("\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9".encode())


def test_data_key_is_wrapped_and_unwrapped() -> None:
    """The wrap key and e-mail of the account open it."""
    data_key = aead.new_key()

    assert unwrap_data_key(KEYS, wrap_data_key(KEYS, data_key, EMAIL), EMAIL) == data_key


def test_truncated_data_key_is_named() -> None:
    """Every truncation means that the server altered the account's data."""
    for cut in range(62):
        wrapped = wrap_data_key(KEYS, aead.new_key(), EMAIL)
        assert len(wrapped) == 62

        with pytest.raises(Tampered):
            unwrap_data_key(KEYS, wrapped[:cut], EMAIL)


def test_another_accounts_data_key_is_named() -> None:
    """The wrapped key of another account, or of an unknown profile."""
    wrapped = wrap_data_key(KEYS, aead.new_key(), "bob@example.org")

    with pytest.raises(Tampered):
        unwrap_data_key(KEYS, wrapped, EMAIL)
    weaker = bytes([1, 0]) + wrapped[2:]
    with pytest.raises(Tampered):
        unwrap_data_key(KEYS, weaker, "bob@example.org")


@pytest.mark.parametrize("with_root", [True, False])
def test_identity_is_wrapped_and_unwrapped(with_root: bool) -> None:
    """Identity keys come back, with the enterprise root when there is one."""
    made = Identity.generate()
    identity = Identity(made.sign, made.box, SigningKey.generate() if with_root else None)
    data_key = aead.new_key()

    wrapped = wrap_identity(data_key, identity, user="u", email=EMAIL)
    found = unwrap_identity(data_key, wrapped, user="u", email=EMAIL)

    assert found.sign.raw() == identity.sign.raw()
    assert found.box.raw() == identity.box.raw()
    assert (found.root is not None) == with_root


@settings(max_examples=50)
@given(data=st.binary(max_size=300))
def test_random_bytes_are_no_identity(data: bytes) -> None:
    """Only Tampered comes out."""
    with pytest.raises(Tampered):
        unwrap_identity(bytes(32), data, user="u", email=EMAIL)


def test_identity_of_another_user_is_named() -> None:
    """Bound to user and e-mail."""
    data_key = aead.new_key()
    wrapped = wrap_identity(data_key, Identity.generate(), user="u", email=EMAIL)

    with pytest.raises(Tampered):
        unwrap_identity(data_key, wrapped, user="v", email=EMAIL)
