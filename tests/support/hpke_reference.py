"""
A second, small implementation of what `crypto.box` uses a library for, to check it against.

RFC 9180 base mode (sections 4 and 5.1) over the hybrid KEM MLKEM768-X25519 (the concrete hybrid
KEMs of the CFRG, known before as X-Wing), with HKDF-SHA256. Opens only, and only the first message.
"""

from __future__ import annotations

import hashlib

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

KEM_ID = 0x647A
KDF_ID = 0x0001
AES_256_GCM = 0x0002
CHACHA20_POLY1305 = 0x0003
_MLKEM_CIPHERTEXT = 1088
_COMBINER_LABEL = b"\\.//^\\"


def expand_seed(seed: bytes) -> bytes:
    """The 32-byte private key of the KEM as ML-KEM seed (64) and X25519 scalar (32)."""
    return hashlib.shake_256(seed).digest(96)


def shared_secret(private: bytes, enc: bytes) -> bytes:
    """Open an encapsulation with the 96-byte private key."""
    mlkem = MLKEM768PrivateKey.from_seed_bytes(private[:64])
    x25519 = X25519PrivateKey.from_private_bytes(private[64:])
    first, second = enc[:_MLKEM_CIPHERTEXT], enc[_MLKEM_CIPHERTEXT:]
    agreed = x25519.exchange(X25519PublicKey.from_public_bytes(second))
    point = x25519.public_key().public_bytes_raw()
    return hashlib.sha3_256(
        mlkem.decapsulate(first) + agreed + second + point + _COMBINER_LABEL
    ).digest()


def key_schedule(shared: bytes, info: bytes, aead_id: int) -> tuple[bytes, bytes]:
    """The message key and the base nonce of the context."""
    suite = b"HPKE" + b"".join(n.to_bytes(2, "big") for n in (KEM_ID, KDF_ID, aead_id))

    def extract(salt: bytes, label: bytes, ikm: bytes) -> bytes:
        return HKDF.extract(SHA256(), salt or bytes(32), b"HPKE-v1" + suite + label + ikm)

    def expand(secret: bytes, label: bytes, context: bytes, size: int) -> bytes:
        labeled = size.to_bytes(2, "big") + b"HPKE-v1" + suite + label + context
        return HKDFExpand(SHA256(), size, labeled).derive(secret)

    context = b"\x00" + extract(b"", b"psk_id_hash", b"") + extract(b"", b"info_hash", info)
    secret = extract(shared, b"secret", b"")
    return expand(secret, b"key", context, 32), expand(secret, b"base_nonce", context, 12)
