from __future__ import annotations

import hmac
from typing import Any

import pytest
from argon2.low_level import Type, core, error_to_str, ffi, hash_secret_raw
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given, settings
from hypothesis import strategies as st

from commander.crypto import kdf
from commander.crypto.encoding import encode
from commander.errors import InvalidInput
from tests.support.vectors import load, wycheproof

KEY = bytes(range(32))
RFC = load("published/rfc")
OWN = {case["what"]: case["answer"] for case in load("own/kdf")}
HKDF_CASES = [case for _, case in wycheproof("hkdf_sha256_test")]


@pytest.mark.parametrize("case", RFC["hkdf_sha256"]["cases"])
def test_hkdf_of_rfc_5869(case: dict[str, Any]) -> None:
    """The primitive under `derive` gives the answers of the RFC."""
    okm = bytes.fromhex(case["okm"])
    ikm, salt, info = (bytes.fromhex(case[name]) for name in ("ikm", "salt", "info"))

    assert HKDF(SHA256(), len(okm), salt, info).derive(ikm) == okm


def test_hkdf_of_wycheproof() -> None:
    """Published cases are answered as published; an output over the limit is refused."""
    for case in HKDF_CASES:
        ikm, salt, info = (bytes.fromhex(case[name]) for name in ("ikm", "salt", "info"))

        if case["result"] == "valid":
            assert HKDF(SHA256(), case["size"], salt, info).derive(ikm).hex() == case["okm"]
        else:
            with pytest.raises(ValueError, match=r"(?i)length|derive"):
                HKDF(SHA256(), case["size"], salt, info)


@given(key=st.binary(min_size=1, max_size=80), salt=st.none() | st.binary(max_size=40))
def test_derive_is_hkdf_with_the_canonical_info(key: bytes, salt: bytes | None) -> None:
    """Purpose and context go into `info` and nowhere else."""
    expected = HKDF(SHA256(), 32, salt, encode("purpose", "a", 1)).derive(key)

    assert kdf.derive(key, "purpose", "a", 1, salt=salt) == expected


@pytest.mark.parametrize("case", RFC["hmac"]["cases"])
@pytest.mark.parametrize("digest", ["sha256", "sha512"])
def test_hmac_of_rfc_4231(case: dict[str, Any], digest: str) -> None:
    """The primitive under `mac`, and under client ids, gives the answers of the RFC."""
    tag = hmac.digest(bytes.fromhex(case["key"]), bytes.fromhex(case["data"]), digest)

    assert tag.hex() == case[digest]


def test_mac_is_hmac_of_the_canonical_encoding() -> None:
    """Purpose and fields are encoded as everywhere."""
    assert kdf.mac(KEY, "p", "a", 1) == hmac.digest(KEY, encode("p", "a", 1), "sha256")


def test_recorded_answers() -> None:
    """Keys derived, MACed and stretched in the past come out the same today."""
    assert kdf.derive(KEY, "vector", "context", 7).hex() == OWN["derive"]
    assert (
        kdf.derive(KEY, "vector", "context", 7, salt=b"salt", size=80).hex() == OWN["derive-salted"]
    )
    assert kdf.mac(KEY, "vector", "context", 7).hex() == OWN["mac"]
    stretched = kdf.stretch_password(
        "Grüße, 世界".encode(), b"0123456789abcdef", kdf.PASSWORD_PROFILES[1]
    )
    assert stretched.hex() == OWN["password-profile-1"]


def test_purpose_context_and_salt_all_change_the_key() -> None:
    """Each input of `derive` matters."""
    keys = {
        kdf.derive(KEY, "a"),
        kdf.derive(KEY, "b"),
        kdf.derive(KEY, "a", "context"),
        kdf.derive(KEY, "a", salt=b"salt"),
        kdf.derive(KEY[::-1], "a"),
    }

    assert len(keys) == 5


def test_sha256_of_abc() -> None:
    """FIPS 180-2, example B.1."""
    assert kdf.sha256(b"abc").hex().startswith("ba7816bf8f01cfea414140de5dae2223")


def test_argon2id_of_rfc_9106() -> None:
    """Both implementations at hand give the answer of the RFC, with secret and data."""
    case = RFC["argon2id"]["cases"][0]
    password, salt, secret, associated = (
        bytes.fromhex(case[name]) for name in ("password", "salt", "secret", "associated")
    )
    other = Argon2id(
        salt=salt, length=32, iterations=case["passes"], lanes=case["lanes"],
        memory_cost=case["memory_kib"], ad=associated, secret=secret,
    )  # fmt: skip

    assert other.derive(password).hex() == case["tag"]
    assert argon2_with_secret(password, salt, secret, associated, case).hex() == case["tag"]


def argon2_with_secret(
    password: bytes, salt: bytes, secret: bytes, associated: bytes, case: dict[str, Any]
) -> bytes:
    out = ffi.new("uint8_t[]", 32)
    parts = [ffi.new("uint8_t[]", part) for part in (password, salt, secret, associated)]
    context = ffi.new(
        "argon2_context *",
        {
            "version": 0x13, "out": out, "outlen": 32,
            "pwd": parts[0], "pwdlen": len(password), "salt": parts[1], "saltlen": len(salt),
            "secret": parts[2], "secretlen": len(secret),
            "ad": parts[3], "adlen": len(associated),
            "t_cost": case["passes"], "m_cost": case["memory_kib"],
            "lanes": case["lanes"], "threads": 1,
            "allocate_cbk": ffi.NULL, "free_cbk": ffi.NULL, "flags": 0,
        },
    )  # fmt: skip
    status = core(context, Type.ID.value)
    assert status == 0, error_to_str(status)
    return bytes(ffi.buffer(out))


@settings(max_examples=40)
@given(
    password=st.binary(min_size=1, max_size=64),
    salt=st.binary(min_size=8, max_size=32),
    passes=st.integers(1, 4),
    lanes=st.integers(1, 4),
    memory=st.integers(8, 64),
    size=st.integers(4, 64),
)
def test_two_argon2id_implementations_agree(
    password: bytes, salt: bytes, passes: int, lanes: int, memory: int, size: int
) -> None:
    """What our library answers, an independent one answers too."""
    memory = max(memory, 8 * lanes)
    other = Argon2id(salt=salt, length=size, iterations=passes, lanes=lanes, memory_cost=memory)

    ours = hash_secret_raw(password, salt, passes, memory, lanes, size, Type.ID)

    assert ours == other.derive(password)


def test_stretched_password_agrees_with_the_other_implementation() -> None:
    """The product's profile, at full size, gives the same in both."""
    profile = kdf.CURRENT_PROFILE
    other = Argon2id(
        salt=b"0123456789abcdef", length=32, iterations=profile.passes,
        lanes=profile.lanes, memory_cost=profile.memory_kib,
    )  # fmt: skip

    ours = kdf.stretch_password(b"correct horse", b"0123456789abcdef")

    assert ours == other.derive(b"correct horse")


def test_no_profile_is_below_the_floor() -> None:
    """64 MiB and 3 passes at least, and each profile stands under its own number."""
    for number, profile in kdf.PASSWORD_PROFILES.items():
        assert profile.number == number
        assert profile.memory_kib >= 64 * 1024
        assert profile.passes >= 3


@pytest.mark.parametrize("size", [1, 1024])
def test_password_at_the_limits_is_stretched(size: int) -> None:
    """One byte and 1 KiB are passwords."""
    assert len(kdf.stretch_password(b"x" * size, b"0123456789abcdef")) == 32


@pytest.mark.parametrize("size", [0, 1025])
def test_password_outside_the_limits_is_refused(size: int) -> None:
    """Empty and over-long passwords cost no work."""
    with pytest.raises(InvalidInput, match="1 to 1024 bytes"):
        kdf.stretch_password(b"x" * size, b"0123456789abcdef")
