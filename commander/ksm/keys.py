"""
P-256 keys of Secrets Manager devices and servers (used nowhere else).

A private key travels as PKCS#8 DER with the public point inside, always 138 bytes:
some SDKs cut the private number (36..68) and the point (last 65) out at fixed places.
A public key is the 65-byte uncompressed point.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from commander.errors import InvalidInput, SealBroken

POINT_BYTES = 65
PKCS8_BYTES = 138
MIN_SIGNATURE_BYTES = 8
MAX_SIGNATURE_BYTES = 72

_CURVE = ec.SECP256R1()
_ECDSA = ec.ECDSA(SHA256())
# RFC 5958 and RFC 5915 for curve prime256v1: everything but the number and the point.
_BEFORE_NUMBER = bytes.fromhex(
    "308187020100301306072a8648ce3d020106082a8648ce3d030107046d306b0201010420"
)
_BEFORE_POINT = bytes.fromhex("a144034200")


class P256PublicKey:
    """A point that a device signs under and that anyone may seal to."""

    def __init__(self, raw: bytes) -> None:
        """Parse an uncompressed point. Raises InvalidInput for another form or off the curve."""
        if len(raw) != POINT_BYTES or raw[0] != 4:
            raise InvalidInput("P-256 public key has an unknown form")
        try:
            self.key = ec.EllipticCurvePublicKey.from_encoded_point(_CURVE, bytes(raw))
        except ValueError:
            raise InvalidInput("P-256 public key is not on the curve") from None
        self.raw = bytes(raw)

    def verify(self, signature: bytes, data: bytes) -> None:
        """Return when the signature (ECDSA, SHA-256, DER) is of this data. Raises SealBroken."""
        if not MIN_SIGNATURE_BYTES <= len(signature) <= MAX_SIGNATURE_BYTES:
            raise SealBroken
        try:
            self.key.verify(signature, data, _ECDSA)
        except InvalidSignature:
            raise SealBroken from None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, P256PublicKey) and self.raw == other.raw

    def __hash__(self) -> int:
        return hash(self.raw)


class P256PrivateKey:
    """The private half; its repr shows nothing."""

    def __init__(self, pkcs8: bytes) -> None:
        """Parse the 138-byte form. Raises InvalidInput for another form or a point that differs."""
        number_at = len(_BEFORE_NUMBER)
        number, middle = pkcs8[number_at : number_at + 32], pkcs8[number_at + 32 : -POINT_BYTES]
        if (
            len(pkcs8) != PKCS8_BYTES
            or not pkcs8.startswith(_BEFORE_NUMBER)
            or middle != _BEFORE_POINT
        ):
            raise InvalidInput("P-256 private key has an unknown form")
        try:
            self._key = ec.derive_private_key(int.from_bytes(number, "big"), _CURVE)
        except ValueError:
            raise InvalidInput("P-256 private key is out of range") from None
        self.public = P256PublicKey(_point_of(self._key))
        # A differing point would let one file carry two identities.
        if self.public.raw != pkcs8[-POINT_BYTES:]:
            raise InvalidInput("P-256 private key does not fit its public point")

    @classmethod
    def generate(cls) -> P256PrivateKey:
        """Make a new key pair."""
        return cls.from_key(ec.generate_private_key(_CURVE))

    @classmethod
    def from_key(cls, key: ec.EllipticCurvePrivateKey) -> P256PrivateKey:
        """Take a key of this curve in the library's form."""
        number = key.private_numbers().private_value.to_bytes(32, "big")
        return cls(_BEFORE_NUMBER + number + _BEFORE_POINT + _point_of(key))

    def pkcs8(self) -> bytes:
        """The 138 private bytes, for a configuration or sealing into storage."""
        number = self._key.private_numbers().private_value.to_bytes(32, "big")
        return _BEFORE_NUMBER + number + _BEFORE_POINT + self.public.raw

    def sign(self, data: bytes) -> bytes:
        """Sign with ECDSA and SHA-256; the signature is DER."""
        return self._key.sign(data, _ECDSA)

    def agree(self, peer: P256PublicKey) -> bytes:
        """The 32-byte x-coordinate both halves share (ECDH); hash it before use."""
        return self._key.exchange(ec.ECDH(), peer.key)


def _point_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
