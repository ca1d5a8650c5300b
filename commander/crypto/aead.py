from __future__ import annotations

import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from commander.errors import SealBroken

KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
MAX_BYTES = 64 * 1024 * 1024


def new_key() -> bytes:
    """Make a random 256-bit key."""
    return secrets.token_bytes(KEY_BYTES)


def seal(key: bytes, plaintext: bytes, associated: bytes | None = None) -> bytes:
    """
    Encrypt with AES-256-GCM under a fresh random nonce: `nonce 12 | ciphertext | tag 16`.

    `associated` is None only where a foreign wire format (Secrets Manager) forbids it;
    then a signature or commitment around the result must bind the context. A key may
    seal at most 2^32 texts.
    """
    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plaintext, associated)


def open_sealed(key: bytes, sealed: bytes, associated: bytes | None = None) -> bytes:
    """Decrypt what `seal` made. Raises SealBroken, without saying why."""
    if not NONCE_BYTES + TAG_BYTES <= len(sealed) <= MAX_BYTES or len(key) != KEY_BYTES:
        raise SealBroken
    try:
        return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], associated)
    except InvalidTag:
        raise SealBroken from None
