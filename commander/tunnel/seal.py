"""
Seals every message of a tunnel, whatever carries it. Pure.

    sealed  = generation u16 | counter u64 | AES-256-GCM(message)      26 bytes more than the message
    counter = key epoch u16 | number u48                               both from 0
    nonce   = 0 u32 | counter u64
    associated data = encode("frame", conversation, direction, generation, counter)

There is one key for each direction, generation and epoch. `number` rises by exactly one with
each message of a generation and never starts again; the epoch rises by at most one, when the
sender has moved on to `key = HKDF(key)`, and the opener follows once such a message verifies.
"""

from __future__ import annotations

import struct
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from commander.crypto.encoding import encode
from commander.crypto.kdf import derive
from commander.errors import SealBroken
from commander.tunnel.codes import Role

_HEADER: Final = struct.Struct(">HQ")
TAG_BYTES: Final = 16
SEAL_BYTES: Final = _HEADER.size + TAG_BYTES
MAX_GENERATION: Final = (1 << 16) - 1
MAX_KEY_MESSAGES: Final = 1 << 32
MAX_KEY_BYTES: Final = 64 * 1024**3
KEY_LIFE_S: Final = 600.0
"""After this time the owner of the clock calls `Sealer.ratchet`."""
_NUMBER_BITS: Final = 48
_NUMBER_MASK: Final = (1 << _NUMBER_BITS) - 1
_MAX_EPOCH: Final = (1 << 16) - 1
_NONCE_PREFIX: Final = bytes(4)


def _next_key(key: bytes) -> bytes:
    return derive(key, "frame-ratchet")


def _associated(conversation_id: str, sender: Role, generation: int) -> bytes:
    # The counter is appended for each message in the same encoding, so that the rest
    # is made once: this runs for every frame.
    return encode("frame", conversation_id, sender.value, generation) + (8).to_bytes(4, "big")


class Sealer:
    """Seals what one end sends in one generation; one object per generation, never two."""

    def __init__(self, key: bytes, conversation_id: str, sender: Role, generation: int) -> None:
        self._key = key
        self._cipher = AESGCM(key)
        self._associated = _associated(conversation_id, sender, generation)
        self._generation = generation
        self._epoch = 0
        self._number = 0
        self._key_messages = 0
        self._key_bytes = 0
        self.max_key_messages = MAX_KEY_MESSAGES
        self.max_key_bytes = MAX_KEY_BYTES

    def seal(self, message: bytes) -> bytes:
        """Seal the next message. Raises SealBroken when the generation's numbers are used up."""
        is_used_up = self._key_bytes + len(message) > self.max_key_bytes
        if self._key_messages >= self.max_key_messages or is_used_up:
            self.ratchet()
        if self._number > _NUMBER_MASK:
            raise SealBroken("generation is used up")
        counter = self._epoch << _NUMBER_BITS | self._number
        raw = counter.to_bytes(8, "big")
        sealed = self._cipher.encrypt(_NONCE_PREFIX + raw, message, self._associated + raw)
        self._number += 1
        self._key_messages += 1
        self._key_bytes += len(message)
        return _HEADER.pack(self._generation, counter) + sealed

    def ratchet(self) -> None:
        """Replace the key by one from which it cannot be found; the opener follows by itself."""
        if self._key_messages == 0:
            return
        if self._epoch >= _MAX_EPOCH:
            raise SealBroken("generation is used up")
        self._key = _next_key(self._key)
        self._cipher = AESGCM(self._key)
        self._epoch += 1
        self._key_messages = self._key_bytes = 0


class Opener:
    """Opens what the peer sealed in one generation, in exactly the order of sealing."""

    def __init__(self, key: bytes, conversation_id: str, sender: Role, generation: int) -> None:
        self._key = key
        self._cipher = AESGCM(key)
        self._associated = _associated(conversation_id, sender, generation)
        self._generation = generation
        self._epoch = 0
        self._number = 0

    def open(self, sealed: bytes | memoryview) -> bytes:
        """
        Open the next message.

        Raises SealBroken for everything else: a repeated, skipped, altered or foreign one.
        The generation is then over; nothing that follows may be trusted to be in order.
        """
        if len(sealed) < SEAL_BYTES:
            raise SealBroken
        generation, counter = _HEADER.unpack_from(sealed)
        epoch, number = counter >> _NUMBER_BITS, counter & _NUMBER_MASK
        if generation != self._generation or number != self._number:
            raise SealBroken
        raw = bytes(sealed[2:10])
        if epoch == self._epoch:
            message = self._decrypt(self._cipher, raw, sealed)
        elif epoch == self._epoch + 1:
            message = self._follow(raw, sealed)
        else:
            raise SealBroken
        self._number += 1
        return message

    def _follow(self, raw: bytes, sealed: bytes | memoryview) -> bytes:
        key = _next_key(self._key)
        cipher = AESGCM(key)
        message = self._decrypt(cipher, raw, sealed)
        self._key, self._cipher = key, cipher
        self._epoch += 1
        return message

    def _decrypt(self, cipher: AESGCM, raw: bytes, sealed: bytes | memoryview) -> bytes:
        body = memoryview(sealed)[_HEADER.size :]
        try:
            return cipher.decrypt(_NONCE_PREFIX + raw, body, self._associated + raw)
        except InvalidTag:
            raise SealBroken from None
