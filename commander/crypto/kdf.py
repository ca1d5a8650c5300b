from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

from argon2.low_level import Type, hash_secret_raw
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from commander.crypto.encoding import Field, encode
from commander.errors import InvalidInput


def derive(
    key: bytes, purpose: str, *context: Field, salt: bytes | None = None, size: int = 32
) -> bytes:
    """Derive a key with HKDF-SHA256 (RFC 5869); purpose and context go into `info`."""
    return HKDF(SHA256(), size, salt, encode(purpose, *context)).derive(key)


def mac(key: bytes, purpose: str, *fields: Field) -> bytes:
    """HMAC-SHA256 over the canonical encoding; compare with `hmac.compare_digest`."""
    return hmac.digest(key, encode(purpose, *fields), "sha256")


def sha256(data: bytes) -> bytes:
    """SHA-256 digest."""
    return hashlib.sha256(data).digest()


@dataclass(frozen=True)
class PasswordProfile:
    """Argon2id parameters (RFC 9106); the number is stored wherever a result is."""

    number: int
    memory_kib: int
    passes: int
    lanes: int


# The floor of the product is 64 MiB and 3 passes: clients refuse to know a weaker one,
# so no server can talk them into it. Profiles are only ever added.
PASSWORD_PROFILES = {1: PasswordProfile(1, 64 * 1024, 3, 4)}
CURRENT_PROFILE = PASSWORD_PROFILES[1]
MAX_PASSWORD_BYTES = 1024


def stretch_password(
    password: bytes, salt: bytes, profile: PasswordProfile = CURRENT_PROFILE
) -> bytes:
    """
    Stretch a password with Argon2id to 32 bytes; takes about a quarter of a second and 64 MiB.

    Run it in a thread. Raises InvalidInput for an empty password or one over 1 KiB.
    """
    if not 0 < len(password) <= MAX_PASSWORD_BYTES:
        raise InvalidInput("a password has 1 to 1024 bytes")
    return hash_secret_raw(
        password, salt, profile.passes, profile.memory_kib, profile.lanes, 32, Type.ID
    )
