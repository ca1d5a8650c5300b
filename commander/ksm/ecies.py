"""
The Secrets Manager public-key wrap: `ephemeral point 65 | nonce 12 | ciphertext | tag 16`.

The AES-256-GCM key is SHA-256 of the ECDH x-coordinate; there is no associated data.
The form has no version and binds no context: it is foreign, so nothing of ours uses it.
"""

from __future__ import annotations

from commander.crypto import aead, kdf
from commander.errors import InvalidInput, SealBroken
from commander.ksm.keys import POINT_BYTES, P256PrivateKey, P256PublicKey

OVERHEAD_BYTES = POINT_BYTES + aead.NONCE_BYTES + aead.TAG_BYTES


def seal(recipient: P256PublicKey, plaintext: bytes) -> bytes:
    """Encrypt so that only the recipient's private key opens it."""
    ephemeral = P256PrivateKey.generate()
    key = kdf.sha256(ephemeral.agree(recipient))
    return ephemeral.public.raw + aead.seal(key, plaintext)


def open_sealed(recipient: P256PrivateKey, sealed: bytes) -> bytes:
    """Decrypt. Raises SealBroken, without saying why."""
    if len(sealed) < OVERHEAD_BYTES:
        raise SealBroken
    try:
        ephemeral = P256PublicKey(sealed[:POINT_BYTES])
    except InvalidInput:
        raise SealBroken from None
    return aead.open_sealed(kdf.sha256(recipient.agree(ephemeral)), sealed[POINT_BYTES:])
