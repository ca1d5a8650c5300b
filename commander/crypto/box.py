"""
The one public-key wrap: HPKE base mode (RFC 9180) with MLKEM768_X25519, HKDF-SHA256, AES-256-GCM.

A public key is `0x01 | ML-KEM-768 1184 | X25519 32`, a private key `0x01 | ML-KEM seed 64 | X25519 32`,
a sealed box `0x01 | enc 1120 | ciphertext`. The context goes into HPKE `info`; who sent it is
proved by a signature around the box, never by the box.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from commander.crypto.encoding import Field, encode
from commander.errors import InvalidInput, SealBroken

VERSION = b"\x01"
_MLKEM_PUBLIC = 1184
_MLKEM_SEED = 64
_X25519 = 32
PUBLIC_BYTES = 1 + _MLKEM_PUBLIC + _X25519
PRIVATE_BYTES = 1 + _MLKEM_SEED + _X25519
OVERHEAD_BYTES = 1 + 1120 + 16

_SUITE = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


class BoxPublicKey:
    """A key that anyone may seal to."""

    def __init__(self, raw: bytes) -> None:
        """Parse a public key. Raises InvalidInput for another length, version or an invalid point."""
        if len(raw) != PUBLIC_BYTES or raw[:1] != VERSION:
            raise InvalidInput("box key has an unknown form")
        self.raw = bytes(raw)
        try:
            self._key = hpke.MLKEM768X25519PublicKey(
                MLKEM768PublicKey.from_public_bytes(self.raw[1 : 1 + _MLKEM_PUBLIC]),
                X25519PublicKey.from_public_bytes(self.raw[1 + _MLKEM_PUBLIC :]),
            )
        except ValueError:
            raise InvalidInput("box key is not valid") from None

    def seal(self, plaintext: bytes, purpose: str, *context: Field) -> bytes:
        """
        Encrypt so that only the private key opens it, and only for this purpose and context.

        Raises InvalidInput for a key of low order, which shows only now.
        """
        try:
            return VERSION + _SUITE.encrypt(plaintext, self._key, encode(purpose, *context))
        except ValueError:
            raise InvalidInput("box key is not valid") from None


class BoxPrivateKey:
    """The private half; its repr shows nothing."""

    def __init__(self, raw: bytes) -> None:
        """Parse what `raw` gave. Raises InvalidInput for another form."""
        if len(raw) != PRIVATE_BYTES or raw[:1] != VERSION:
            raise InvalidInput("private box key has an unknown form")
        mlkem = MLKEM768PrivateKey.from_seed_bytes(raw[1 : 1 + _MLKEM_SEED])
        x25519 = X25519PrivateKey.from_private_bytes(raw[1 + _MLKEM_SEED :])
        self._raw = bytes(raw)
        self._key = hpke.MLKEM768X25519PrivateKey(mlkem, x25519)
        self.public = BoxPublicKey(
            VERSION + mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()
        )

    @classmethod
    def generate(cls) -> BoxPrivateKey:
        """Make a new key pair."""
        mlkem, x25519 = MLKEM768PrivateKey.generate(), X25519PrivateKey.generate()
        return cls(VERSION + mlkem.private_bytes_raw() + x25519.private_bytes_raw())

    def raw(self) -> bytes:
        """The private bytes, for sealing into storage."""
        return self._raw

    def open(self, sealed: bytes, purpose: str, *context: Field) -> bytes:
        """Decrypt. Raises SealBroken for anything not sealed to this key, purpose and context."""
        if len(sealed) < OVERHEAD_BYTES or sealed[:1] != VERSION:
            raise SealBroken
        try:
            return _SUITE.decrypt(sealed[1:], self._key, encode(purpose, *context))
        except (InvalidTag, ValueError):
            raise SealBroken from None
