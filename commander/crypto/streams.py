"""
AES-256-GCM over a stream of pieces, for contents that do not fit in memory.

The form is that of `aead.seal`: `nonce 12 | ciphertext | tag 16`. What an opener gives is not to be
trusted, nor shown to anybody, before `finish` has returned: keep it in a file nobody reads.
"""

from __future__ import annotations

import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import GCM

from commander.crypto.aead import KEY_BYTES, NONCE_BYTES, TAG_BYTES
from commander.errors import SealBroken

OVERHEAD_BYTES = NONCE_BYTES + TAG_BYTES
# NIST SP 800-38D allows 2^36 - 32 bytes under one nonce; this stays far below.
MAX_BYTES = 2**35


class StreamSealer:
    """Seals pieces in their order; give each to `feed`, and `finish` at the end."""

    def __init__(self, key: bytes) -> None:
        nonce = secrets.token_bytes(NONCE_BYTES)
        self._encryptor = Cipher(AES256(key), GCM(nonce)).encryptor()
        self._begin = nonce
        self._left = MAX_BYTES

    def feed(self, data: bytes) -> bytes:
        """The next piece of the sealed form."""
        self._left -= len(data)
        assert self._left >= 0, "the caller bounds what is sealed"
        begin, self._begin = self._begin, b""
        return begin + self._encryptor.update(data)

    def finish(self) -> bytes:
        """The last piece."""
        return self._begin + self._encryptor.finalize() + self._encryptor.tag


class StreamOpener:
    """Opens pieces in their order; nothing of it counts before `finish` has returned."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise SealBroken
        self._key = key
        self._nonce = b""
        self._held = b""
        self._left = MAX_BYTES

    def feed(self, data: bytes) -> bytes:
        """The next piece of the content, unverified. Raises SealBroken over the limit."""
        self._left -= len(data)
        if self._left < 0:
            raise SealBroken
        text = self._held + data
        if not self._nonce:
            if len(text) < NONCE_BYTES:
                self._held = text
                return b""
            self._nonce, text = text[:NONCE_BYTES], text[NONCE_BYTES:]
            self._cipher = Cipher(AES256(self._key), GCM(self._nonce)).decryptor()
        # The last 16 bytes may be the tag.
        cut = max(0, len(text) - TAG_BYTES)
        self._held = text[cut:]
        return self._cipher.update(text[:cut])

    def finish(self) -> None:
        """Return when all of it was sealed with this key. Raises SealBroken."""
        if not self._nonce or len(self._held) != TAG_BYTES:
            raise SealBroken
        try:
            self._cipher.finalize_with_tag(self._held)
        except InvalidTag:
            raise SealBroken from None
