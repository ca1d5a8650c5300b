from __future__ import annotations

import contextlib
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from hypothesis import given, settings
from hypothesis import strategies as st

from commander.crypto import box
from commander.crypto.box import BoxPrivateKey, BoxPublicKey
from commander.crypto.encoding import encode
from commander.errors import InvalidInput, SealBroken
from tests.support import hpke_reference
from tests.support.vectors import flips, load, wycheproof

PUBLISHED = load("published/hpke_mlkem768_x25519")
OWN = load("own/box")
KEY = BoxPrivateKey(bytes.fromhex(OWN[0]["private"]))
SEALED = KEY.public.seal(b"a text", "purpose", "context")
ENC_END = 1 + 1120
X25519_CASES = [case for _, case in wycheproof("x25519_test")]
MLKEM_CASES = [case for _, case in wycheproof("mlkem_768_test")]


def published_key() -> BoxPrivateKey:
    seed = bytes.fromhex(PUBLISHED["skRm"])
    return BoxPrivateKey(box.VERSION + hpke_reference.expand_seed(seed))


def test_published_private_key_gives_the_published_public_key() -> None:
    """Our key form is the published hybrid key, behind a version."""
    assert published_key().public.raw == box.VERSION + bytes.fromhex(PUBLISHED["pkRm"])


def test_reference_reproduces_the_published_vector() -> None:
    """The second implementation agrees with the published one at every step."""
    enc, info = bytes.fromhex(PUBLISHED["enc"]), bytes.fromhex(PUBLISHED["info"])

    shared = hpke_reference.shared_secret(published_key().raw()[1:], enc)
    key, nonce = hpke_reference.key_schedule(shared, info, hpke_reference.CHACHA20_POLY1305)

    assert shared.hex() == PUBLISHED["shared_secret"]
    assert key.hex() == PUBLISHED["key"]
    assert nonce.hex() == PUBLISHED["base_nonce"]
    first = PUBLISHED["encryptions"][0]
    opened = ChaCha20Poly1305(key).decrypt(
        nonce, bytes.fromhex(first["ct"]), bytes.fromhex(first["aad"])
    )
    assert opened.hex() == first["pt"]


@given(plaintext=st.binary(max_size=200), context=st.text(max_size=20))
@settings(max_examples=30)
def test_reference_opens_our_boxes(plaintext: bytes, context: str) -> None:
    """What our wrapper seals, the second implementation opens: HPKE, and `info` as documented."""
    sealed = KEY.public.seal(plaintext, "purpose", context)

    shared = hpke_reference.shared_secret(KEY.raw()[1:], sealed[1:ENC_END])
    key, nonce = hpke_reference.key_schedule(
        shared, encode("purpose", context), hpke_reference.AES_256_GCM
    )

    assert sealed[:1] == box.VERSION
    assert AESGCM(key).decrypt(nonce, sealed[ENC_END:], b"") == plaintext


@pytest.mark.parametrize("case", OWN)
def test_recorded_box_opens(case: dict[str, Any]) -> None:
    """What was sealed when the format was born opens today."""
    private = BoxPrivateKey(bytes.fromhex(case["private"]))

    opened = private.open(bytes.fromhex(case["sealed"]), case["purpose"], *case["context"])

    assert opened.hex() == case["plaintext"]
    assert private.public.raw.hex() == case["public"]


def test_x25519_of_wycheproof() -> None:
    """The primitive underneath answers as published, or refuses an all-zero secret."""
    for case in X25519_CASES:
        private = X25519PrivateKey.from_private_bytes(bytes.fromhex(case["private"]))
        public = X25519PublicKey.from_public_bytes(bytes.fromhex(case["public"]))

        if "ZeroSharedSecret" in case["flags"]:
            with pytest.raises(ValueError, match=r"(?i)shared|exchange|deriv"):
                private.exchange(public)
        else:
            assert private.exchange(public).hex() == case["shared"]


def test_mlkem_of_wycheproof() -> None:
    """The primitive underneath decapsulates as published and refuses other lengths."""
    for case in MLKEM_CASES:
        seed, ciphertext = bytes.fromhex(case["seed"]), bytes.fromhex(case["c"])

        if case["result"] == "valid":
            private = MLKEM768PrivateKey.from_seed_bytes(seed)
            assert private.decapsulate(ciphertext).hex() == case["K"]
        else:
            with pytest.raises(ValueError, match=r"."):
                MLKEM768PrivateKey.from_seed_bytes(seed).decapsulate(ciphertext)


def test_round_trip_through_bytes() -> None:
    """Keys read back from their bytes are the same keys."""
    private = BoxPrivateKey.generate()
    public = BoxPublicKey(private.public.raw)

    sealed = public.seal(b"a text", "purpose", 1)

    assert BoxPrivateKey(private.raw()).open(sealed, "purpose", 1) == b"a text"
    assert len(sealed) == box.OVERHEAD_BYTES + 6


def test_boxes_of_one_text_differ() -> None:
    """Each box has its own encapsulation."""
    assert KEY.public.seal(b"x", "p")[:ENC_END] != KEY.public.seal(b"x", "p")[:ENC_END]


def test_no_changed_byte_opens() -> None:
    """A change at any place is noticed, version and encapsulation included."""
    for changed in list(flips(SEALED)):
        with pytest.raises(SealBroken):
            KEY.open(changed, "purpose", "context")


def test_no_prefix_opens() -> None:
    """A box cut anywhere, inside the encapsulation too, is refused the same way."""
    for cut in range(len(SEALED)):
        with pytest.raises(SealBroken, match=r"^seal does not verify$"):
            KEY.open(SEALED[:cut], "purpose", "context")


@pytest.mark.parametrize("version", [0, 2, 255])
def test_other_version_is_refused(version: int) -> None:
    """An unknown version is an error, for boxes and for both halves of a key."""
    first = bytes([version])

    with pytest.raises(SealBroken):
        KEY.open(first + SEALED[1:], "purpose", "context")
    with pytest.raises(InvalidInput):
        BoxPublicKey(first + KEY.public.raw[1:])
    with pytest.raises(InvalidInput):
        BoxPrivateKey(first + KEY.raw()[1:])


def test_wrong_purpose_context_or_key_does_not_open() -> None:
    """A box opens for its purpose, context and key only; the control shows that it opens."""
    assert KEY.open(SEALED, "purpose", "context") == b"a text"
    for purpose, context in (("other", "context"), ("purpose", "contex"), ("purpose", "")):
        with pytest.raises(SealBroken):
            KEY.open(SEALED, purpose, context)
    with pytest.raises(SealBroken):
        BoxPrivateKey.generate().open(SEALED, "purpose", "context")


def test_low_order_point_in_a_box_is_refused() -> None:
    """An all-zero X25519 encapsulation gives no usable secret."""
    with pytest.raises(SealBroken):
        KEY.open(SEALED[: ENC_END - 32] + bytes(32) + SEALED[ENC_END:], "purpose", "context")


def test_sealing_to_a_low_order_point_is_refused() -> None:
    """A key whose X25519 half is zero cannot be sealed to."""
    weak = KEY.public.raw[:-32] + bytes(32)

    with pytest.raises(InvalidInput):
        BoxPublicKey(weak).seal(b"a text", "purpose")


def test_mlkem_key_with_values_out_of_range_is_refused() -> None:
    """FIPS 203 section 7.2: the modulus check of an encapsulation key."""
    with pytest.raises(ValueError, match=r"."):
        MLKEM768PublicKey.from_public_bytes(b"\xff" * 1184)
    with pytest.raises(InvalidInput):
        BoxPublicKey(box.VERSION + b"\xff" * 1184 + KEY.public.raw[-32:])


@pytest.mark.parametrize("size", [0, 1, box.PUBLIC_BYTES - 1, box.PUBLIC_BYTES + 1])
def test_public_key_of_another_length_is_refused(size: int) -> None:
    """No other length is a key."""
    with pytest.raises(InvalidInput):
        BoxPublicKey((KEY.public.raw + b"\x00")[:size])


@pytest.mark.parametrize("size", [0, 1, box.PRIVATE_BYTES - 1, box.PRIVATE_BYTES + 1])
def test_private_key_of_another_length_is_refused(size: int) -> None:
    """No other length is a key."""
    with pytest.raises(InvalidInput):
        BoxPrivateKey((KEY.raw() + b"\x00")[:size])


@given(raw=st.binary(max_size=1400))
def test_any_bytes_give_a_documented_error(raw: bytes) -> None:
    """Random bytes never fail otherwise."""
    with contextlib.suppress(InvalidInput):
        BoxPublicKey(box.VERSION + raw)
    with pytest.raises(SealBroken):
        KEY.open(box.VERSION + raw, "purpose")


def test_repr_shows_no_key() -> None:
    """A private key in a message or traceback stays private."""
    assert KEY.raw().hex() not in repr(KEY)
    assert repr(KEY.raw()) not in repr(KEY)
