from __future__ import annotations

import contextlib

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)
from hypothesis import given
from hypothesis import strategies as st

from commander.errors import InvalidInput, SealBroken
from commander.ksm.keys import PKCS8_BYTES, POINT_BYTES, P256PrivateKey, P256PublicKey
from tests.support.vectors import flips, wycheproof

KEY = P256PrivateKey.generate()
# DER signatures differ in length; every test process must collect the same tests.
SIGNATURE = next(made for _ in iter(int, 1) if len(made := KEY.sign(b"a text")) == 71)
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
ECDSA_CASES = list(wycheproof("ecdsa_secp256r1_sha256_test"))
ECDH_CASES = [case for _, case in wycheproof("ecdh_secp256r1_ecpoint_test")]


def with_number(number: int) -> P256PrivateKey:
    """A private key of a number, through the DER of the library."""
    key = ec.derive_private_key(number, ec.SECP256R1())
    return P256PrivateKey(key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))


def test_ecdsa_of_wycheproof() -> None:
    """Published signatures are judged as published, odd DER included."""
    for pair in ECDSA_CASES:
        group, case = pair
        key = P256PublicKey(bytes.fromhex(group["publicKey"]["uncompressed"]))
        signature, message = bytes.fromhex(case["sig"]), bytes.fromhex(case["msg"])

        if case["result"] == "valid":
            key.verify(signature, message)
        else:
            with pytest.raises(SealBroken):
                key.verify(signature, message)


def test_ecdh_of_wycheproof() -> None:
    """Points are agreed with as published; off-curve and compressed ones are no keys."""
    for case in ECDH_CASES:
        private = with_number(int(case["private"], 16))
        raw = bytes.fromhex(case["public"])

        if case["result"] == "valid":
            assert private.agree(P256PublicKey(raw)).hex() == case["shared"]
        else:
            with pytest.raises(InvalidInput):
                P256PublicKey(raw)


def test_private_form_is_the_pkcs8_that_other_libraries_write_and_read() -> None:
    """138 bytes with the public point inside; number and point stand at the fixed places."""
    loaded = load_der_private_key(KEY.pkcs8(), None)
    assert isinstance(loaded, ec.EllipticCurvePrivateKey)

    number = loaded.private_numbers().private_value.to_bytes(32, "big")
    again = loaded.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())

    assert again == KEY.pkcs8()
    assert len(again) == PKCS8_BYTES
    assert again[36:68] == number
    assert again[-POINT_BYTES:] == KEY.public.raw
    point = loaded.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    assert point == KEY.public.raw


@given(number=st.integers(1, 2**64) | st.integers(ORDER - 2**64, ORDER - 1))
def test_small_and_large_numbers_keep_their_length(number: int) -> None:
    """Leading zeros of the number are kept, so the form has one length."""
    key = with_number(number)

    assert len(key.pkcs8()) == PKCS8_BYTES
    assert P256PrivateKey(key.pkcs8()).public == key.public


def test_no_changed_private_key_is_taken() -> None:
    """Form, number and point must fit each other."""
    for changed in list(flips(KEY.pkcs8())):
        with pytest.raises(InvalidInput):
            P256PrivateKey(changed)


def test_no_cut_private_key_is_taken() -> None:
    """A cut form is refused at every byte."""
    for cut in range(PKCS8_BYTES):
        with pytest.raises(InvalidInput):
            P256PrivateKey(KEY.pkcs8()[:cut])


@pytest.mark.parametrize("number", [0, ORDER, ORDER + 1, 2**256 - 1])
def test_number_out_of_range_is_refused(number: int) -> None:
    """Zero and the order of the curve and above are no private keys."""
    raw = KEY.pkcs8()

    with pytest.raises(InvalidInput):
        P256PrivateKey(raw[:36] + number.to_bytes(32, "big") + raw[68:])


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"\x00", b"\x00" * 65, b"\x04" + bytes(64), b"\x04" + b"\xff" * 64,
        KEY.public.raw[:-1], KEY.public.raw + b"\x00", b"\x02" + KEY.public.raw[1:33],
        b"\x06" + KEY.public.raw[1:], KEY.public.raw[:64] + bytes([KEY.public.raw[64] ^ 1]),
    ],
)  # fmt: skip
def test_other_points_are_refused(raw: bytes) -> None:
    """Infinity, off-curve, compressed, hybrid and cut points are no keys."""
    with pytest.raises(InvalidInput):
        P256PublicKey(raw)


def test_no_changed_signature_verifies() -> None:
    """A change at any place is noticed."""
    for changed in list(flips(SIGNATURE)):
        with pytest.raises(SealBroken):
            KEY.public.verify(changed, b"a text")


def test_no_cut_signature_verifies() -> None:
    """A cut signature is refused at every byte."""
    for cut in range(len(SIGNATURE)):
        with pytest.raises(SealBroken):
            KEY.public.verify(SIGNATURE[:cut], b"a text")


def test_signature_of_another_key_or_text_is_refused() -> None:
    """The control verifies; another text or key does not."""
    KEY.public.verify(SIGNATURE, b"a text")

    with pytest.raises(SealBroken):
        KEY.public.verify(SIGNATURE, b"another")
    with pytest.raises(SealBroken):
        P256PrivateKey.generate().public.verify(SIGNATURE, b"a text")


@given(raw=st.binary(max_size=150))
def test_any_bytes_give_the_documented_error(raw: bytes) -> None:
    """Random bytes never fail otherwise."""
    with contextlib.suppress(InvalidInput):
        P256PublicKey(b"\x04" + raw)
    with pytest.raises(InvalidInput):
        P256PrivateKey(raw)


def test_public_keys_compare_by_their_bytes() -> None:
    """Equal points are equal and hash alike; nothing else is."""
    again = P256PublicKey(KEY.public.raw)

    assert again == KEY.public
    assert hash(again) == hash(KEY.public)
    assert again != P256PrivateKey.generate().public
    assert again != KEY.public.raw


def test_repr_shows_no_key() -> None:
    """A private key in a message or traceback stays private."""
    assert repr(KEY.pkcs8()) not in repr(KEY)
    assert KEY.pkcs8()[36:68].hex() not in repr(KEY)
