from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from commander.crypto import aead
from commander.errors import SealBroken
from tests.support.vectors import flips, load, wycheproof

KEY = bytes(range(32))
SEALED = aead.seal(KEY, b"a text", b"context")


def fits_wrapper(group: dict[str, Any]) -> bool:
    return bool(group["ivSize"] == 96 and group["keySize"] == 256)


CASES = [case for group, case in wycheproof("aes_gcm_test") if fits_wrapper(group)]
SHORT_KEYS = [case for group, case in wycheproof("aes_gcm_test") if group["keySize"] < 256]


def test_wycheproof_case_opens_exactly_when_it_is_valid() -> None:
    """Every published case with our key and nonce sizes is judged as published."""
    for case in CASES:
        key, associated = bytes.fromhex(case["key"]), bytes.fromhex(case["aad"])
        sealed = bytes.fromhex(case["iv"] + case["ct"] + case["tag"])

        if case["result"] == "valid":
            assert aead.open_sealed(key, sealed, associated).hex() == case["msg"]
        else:
            with pytest.raises(SealBroken):
                aead.open_sealed(key, sealed, associated)


def test_wycheproof_cases_are_there() -> None:
    """The selection above did not become empty, and holds both verdicts."""
    assert len(CASES) > 60
    assert {case["result"] for case in CASES} == {"valid", "invalid"}


def test_shorter_keys_do_not_open() -> None:
    """The wrapper takes 256-bit keys only, though the primitive knows others."""
    for case in SHORT_KEYS:
        sealed = bytes.fromhex(case["iv"] + case["ct"] + case["tag"])

        with pytest.raises(SealBroken):
            aead.open_sealed(bytes.fromhex(case["key"]), sealed, bytes.fromhex(case["aad"]))


@pytest.mark.parametrize("case", load("own/aead"))
def test_recorded_text_opens(case: dict[str, Any]) -> None:
    """What was sealed when the format was born opens today."""
    associated = None if case["associated"] is None else bytes.fromhex(case["associated"])

    opened = aead.open_sealed(bytes.fromhex(case["key"]), bytes.fromhex(case["sealed"]), associated)

    assert opened.hex() == case["plaintext"]


def test_framing_is_nonce_ciphertext_tag() -> None:
    """The sealed form is exactly what AES-256-GCM gives for the nonce in front."""
    nonce, rest = SEALED[: aead.NONCE_BYTES], SEALED[aead.NONCE_BYTES :]

    assert rest == AESGCM(KEY).encrypt(nonce, b"a text", b"context")


@given(plaintext=st.binary(max_size=200), associated=st.none() | st.binary(max_size=50))
def test_round_trip(plaintext: bytes, associated: bytes | None) -> None:
    """What is sealed opens, under the same key and context."""
    sealed = aead.seal(KEY, plaintext, associated)

    assert aead.open_sealed(KEY, sealed, associated) == plaintext


def test_nonces_differ() -> None:
    """Sealing twice gives two nonces."""
    nonces = {aead.seal(KEY, b"x")[: aead.NONCE_BYTES] for _ in range(1000)}

    assert len(nonces) == 1000


@pytest.mark.parametrize("changed", list(flips(SEALED)))
def test_no_changed_byte_opens(changed: bytes) -> None:
    """A change at any place is noticed."""
    with pytest.raises(SealBroken):
        aead.open_sealed(KEY, changed, b"context")


@pytest.mark.parametrize("cut", range(len(SEALED)))
def test_no_prefix_opens(cut: int) -> None:
    """A text cut at any place is refused, always the same way."""
    with pytest.raises(SealBroken, match=r"^seal does not verify$"):
        aead.open_sealed(KEY, SEALED[:cut], b"context")


@pytest.mark.parametrize("associated", [None, b"", b"contexT", b"context\x00"])
def test_other_context_does_not_open(associated: bytes | None) -> None:
    """The associated data are part of the seal."""
    with pytest.raises(SealBroken):
        aead.open_sealed(KEY, SEALED, associated)


def test_limit_is_64_mebibytes_sealed() -> None:
    """The longest text opens; with one byte more it is refused, though the seal is good."""
    longest = bytes(64 * 1024 * 1024 - aead.NONCE_BYTES - aead.TAG_BYTES)

    assert aead.open_sealed(KEY, aead.seal(KEY, longest)) == longest
    with pytest.raises(SealBroken):
        aead.open_sealed(KEY, aead.seal(KEY, longest + b"x"))


def test_new_keys_differ_and_have_32_bytes() -> None:
    """Keys are random and of the one size."""
    keys = {aead.new_key() for _ in range(100)}

    assert len(keys) == 100
    assert {len(key) for key in keys} == {aead.KEY_BYTES}
