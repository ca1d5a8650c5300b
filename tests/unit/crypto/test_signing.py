from __future__ import annotations

from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from commander.crypto.encoding import encode
from commander.crypto.signing import SigningKey, VerifyKey
from commander.errors import InvalidInput, SealBroken
from tests.support.vectors import flips, load, wycheproof

KEY = SigningKey(bytes(range(32)))
SIGNATURE = KEY.sign("purpose", "field", 1)
CASES = list(wycheproof("ed25519_test"))


@pytest.mark.parametrize("case", load("published/rfc")["ed25519"]["cases"])
def test_ed25519_of_rfc_8032(case: dict[str, Any]) -> None:
    """The primitive underneath signs and derives as the RFC says, and so do our keys."""
    secret, message = bytes.fromhex(case["secret"]), bytes.fromhex(case["message"])

    assert SigningKey(secret).public.raw.hex() == case["public"]
    signature = Ed25519PrivateKey.from_private_bytes(secret).sign(message)
    assert signature.hex() == case["signature"]


def test_wycheproof_case_verifies_exactly_when_it_is_valid() -> None:
    """
    Published cases are judged as published, by the primitive underneath.

    "Acceptable" are signatures under public keys of mixed or small order; both verdicts
    are right for them, and our keys come from the authority log, not from the message.
    """
    for group_case in CASES:
        group, case = group_case
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(group["publicKey"]["pk"]))
        try:
            key.verify(bytes.fromhex(case["sig"]), bytes.fromhex(case["msg"]))
            verdict = "valid"
        except InvalidSignature:
            verdict = "invalid"

        assert case["result"] in (verdict, "acceptable")


@pytest.mark.parametrize("case", load("own/signing"))
def test_recorded_signature_verifies_and_is_made_again(case: dict[str, Any]) -> None:
    """Signatures of the past verify; the scheme is deterministic, so they come out the same."""
    key = SigningKey(bytes.fromhex(case["private"]))
    signature = bytes.fromhex(case["signature"])

    VerifyKey(bytes.fromhex(case["public"])).verify(signature, case["purpose"], *case["fields"])
    assert key.sign(case["purpose"], *case["fields"]) == signature


def test_what_is_signed_is_the_canonical_encoding() -> None:
    """A signature is one of the primitive over `encode` of purpose and fields."""
    Ed25519PublicKey.from_public_bytes(KEY.public.raw).verify(
        SIGNATURE, encode("purpose", "field", 1)
    )


@given(seed=st.binary(min_size=32, max_size=32), field=st.binary(max_size=50))
def test_round_trip(seed: bytes, field: bytes) -> None:
    """What a key signs, its public half verifies, also when read back from bytes."""
    key = SigningKey(seed)

    VerifyKey(key.public.raw).verify(key.sign("p", field), "p", field)
    assert SigningKey(key.raw()).public.raw == key.public.raw


def test_no_changed_signature_verifies() -> None:
    """A change at any place is noticed."""
    for changed in list(flips(SIGNATURE)):
        with pytest.raises(SealBroken):
            KEY.public.verify(changed, "purpose", "field", 1)


def test_no_prefix_verifies() -> None:
    """A cut signature is refused."""
    for cut in range(len(SIGNATURE)):
        with pytest.raises(SealBroken):
            KEY.public.verify(SIGNATURE[:cut], "purpose", "field", 1)


def test_signature_is_for_one_purpose_only() -> None:
    """Presented for another purpose, or with a border moved, it is refused."""
    with pytest.raises(SealBroken):
        KEY.public.verify(SIGNATURE, "other", "field", 1)
    with pytest.raises(SealBroken):
        KEY.public.verify(SIGNATURE, "purpose", "fiel", "d", 1)
    with pytest.raises(SealBroken):
        KEY.public.verify(SIGNATURE, "purpose", "field")


def test_signature_of_another_key_is_refused() -> None:
    """Keys do not verify for each other."""
    with pytest.raises(SealBroken):
        SigningKey.generate().public.verify(SIGNATURE, "purpose", "field", 1)


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_keys_of_another_length_are_refused(size: int) -> None:
    """Both halves have 32 bytes."""
    with pytest.raises(InvalidInput):
        SigningKey(bytes(size))
    with pytest.raises(InvalidInput):
        VerifyKey(bytes(size))


def test_repr_shows_no_key() -> None:
    """A private key in a message or traceback stays private."""
    assert KEY.raw().hex() not in repr(KEY)
    assert repr(KEY.raw()) not in repr(KEY)
