"""
What every program checks before it touches a key: that Python runs its assertions, and that each
primitive gives the answers it gave when this was written. Takes a few milliseconds.
"""

from __future__ import annotations

import hmac
import secrets
import sys
from collections.abc import Callable

from argon2.low_level import Type, hash_secret_raw

from commander.crypto import aead, kdf
from commander.crypto.box import BoxPrivateKey
from commander.crypto.signing import SigningKey
from commander.errors import CommanderError, SealBroken

# Answers under this key, context "self-test"; tests/vectors/SOURCES.md says how they were checked.
_KEY = bytes(range(32))
_SHA256_ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
_SEALED = "000102030405060708090a0b246dbb76a48ba67eff5444608a874aee427b9c8df09c73b055"
_DERIVED = "f4009c872e4d442c304cc62d8b8dc16d03f0e6918f3505df69b09e24c98473ba"
_MAC = "45cc07349300d0ceea871ee5b033725eb2fb5558666e144d510fa42e89f2f37f"
_PUBLIC = "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8"
_SIGNATURE = (
    "788fcdcd32496066410050e82555d296a90cd9f740e5802a0e206f96ba423162"
    "35bd8c74550ac7bc9e2d8b9de100d10fb5d271940c1c450bd67156f271e6f50e"
)
_STRETCHED = "f25048ec48311a804ea9edd74e08c30765aa0f8d47c2a5b5a6097243cdf2e5ce"


def refuse_optimized_python() -> None:
    """
    Raise CommanderError under `python -O` or PYTHONOPTIMIZE.

    Nothing of ours rests on an assertion for its security, but libraries may, and what
    was tested ran with them.
    """
    if sys.flags.optimize > 0:
        raise CommanderError(
            "python runs without its assertions (-O)",
            hint="start python without -O and unset PYTHONOPTIMIZE",
            code="optimized-python",
        )


def run_self_test() -> None:
    """Raise CommanderError (code "self-test") naming the primitive that gives wrong answers."""
    for name, works in _CHECKS.items():
        if not _passes(works):
            raise CommanderError(
                f"self-test of {name} failed",
                hint="reinstall commander and its libraries; do not go on with this installation",
                code="self-test",
            )


def _passes(check: Callable[[], bool]) -> bool:
    # A primitive that refuses its own work is as broken as one that answers wrongly.
    try:
        return check()
    except CommanderError:
        return False


def _random_works() -> bool:
    # A source that is constant, repeats itself or stands still shows in two draws.
    first, second = secrets.token_bytes(32), secrets.token_bytes(32)
    return first != second and len(set(first)) > 4 and len(set(second)) > 4


def _hashes_work() -> bool:
    return (
        kdf.sha256(b"abc").hex() == _SHA256_ABC
        and kdf.mac(_KEY, "self-test", "field").hex() == _MAC
        and kdf.derive(_KEY, "self-test", "context", 1).hex() == _DERIVED
        and hmac.compare_digest(_KEY, bytes(_KEY))
        and not hmac.compare_digest(_KEY, _KEY[::-1])
    )


def _aead_works() -> bool:
    sealed = bytes.fromhex(_SEALED)
    opened = aead.open_sealed(_KEY, sealed, b"self-test")
    again = aead.open_sealed(_KEY, aead.seal(_KEY, opened, b"self-test"), b"self-test")
    refused = _refuses(lambda: aead.open_sealed(_KEY, _flip(sealed), b"self-test"))
    return opened == again == b"commander" and refused


def _signing_works() -> bool:
    key = SigningKey(_KEY)
    signature = key.sign("self-test", "field")
    key.public.verify(signature, "self-test", "field")
    return (
        key.public.raw.hex() == _PUBLIC
        and signature.hex() == _SIGNATURE
        and _refuses(lambda: key.public.verify(signature, "self-test", "other"))
        and _refuses(lambda: key.public.verify(_flip(signature), "self-test", "field"))
    )


def _box_works() -> bool:
    key = BoxPrivateKey.generate()
    sealed = key.public.seal(b"commander", "self-test", "context")
    return (
        key.open(sealed, "self-test", "context") == b"commander"
        and _refuses(lambda: key.open(sealed, "self-test", "other"))
        and _refuses(lambda: key.open(_flip(sealed), "self-test", "context"))
    )


def _password_works() -> bool:
    # Far below the floor of real profiles, to be quick; the product never uses such a one.
    found = hash_secret_raw(b"password", b"somesaltsomesalt", 3, 32, 4, 32, Type.ID)
    return found.hex() == _STRETCHED


def _refuses(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except SealBroken:
        return True
    return False


def _flip(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


_CHECKS: dict[str, Callable[[], bool]] = {
    "random numbers": _random_works,
    "SHA-256, HMAC and HKDF": _hashes_work,
    "AES-256-GCM": _aead_works,
    "Ed25519": _signing_works,
    "HPKE": _box_works,
    "Argon2id": _password_works,
}
