"""Ed25519 signatures over the canonical encoding; keys are 32 raw bytes, signatures 64."""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from commander.crypto.encoding import Field, encode
from commander.errors import InvalidInput, SealBroken

KEY_BYTES = 32
SIGNATURE_BYTES = 64


class VerifyKey:
    """The public half."""

    def __init__(self, raw: bytes) -> None:
        """Parse a public key. Raises InvalidInput for another length."""
        if len(raw) != KEY_BYTES:
            raise InvalidInput("signing key has an unknown form")
        self.raw = bytes(raw)
        self._key = Ed25519PublicKey.from_public_bytes(self.raw)

    def verify(self, signature: bytes, purpose: str, *fields: Field) -> None:
        """Return when the signature is of these fields for this purpose. Raises SealBroken."""
        if len(signature) != SIGNATURE_BYTES:
            raise SealBroken
        try:
            self._key.verify(signature, encode(purpose, *fields))
        except InvalidSignature:
            raise SealBroken from None


class SigningKey:
    """The private half; its repr shows nothing."""

    def __init__(self, raw: bytes) -> None:
        """Parse 32 private bytes. Raises InvalidInput for another length."""
        if len(raw) != KEY_BYTES:
            raise InvalidInput("private signing key has an unknown form")
        self._raw = bytes(raw)
        self._key = Ed25519PrivateKey.from_private_bytes(self._raw)
        self.public = VerifyKey(self._key.public_key().public_bytes_raw())

    @classmethod
    def generate(cls) -> SigningKey:
        """Make a new key pair."""
        return cls(Ed25519PrivateKey.generate().private_bytes_raw())

    def raw(self) -> bytes:
        """The private bytes, for sealing into storage."""
        return self._raw

    def sign(self, purpose: str, *fields: Field) -> bytes:
        """Sign fields for a purpose."""
        return self._key.sign(encode(purpose, *fields))
