"""
HELLO: both ends of a path prove, before any frame, that they hold the conversation's keys. Pure.

    greeting = version u8 (1) | 01 | generation u16 | nonce 32
    proof    = version u8 (1) | 02 | generation u16 | MAC 32

    MAC = HMAC-SHA256(hello key of the sender, encode("hello", sender, conversation, generation,
              binding of client, binding of gateway, nonce of client, nonce of gateway))

Both ends send their greeting at once, and the proof as soon as they have the other's greeting:
one round trip. The MAC covers what each end sees of the transport, so a middleman who ends the
transport on both sides is found; the fresh nonces keep an old path from being played again.
"""

from __future__ import annotations

import hmac
import secrets
import struct
from enum import Enum, auto
from typing import Final

from commander.crypto.kdf import mac
from commander.errors import SealBroken
from commander.tunnel.codes import ProtocolViolation, Role
from commander.tunnel.keys import ConversationKeys
from commander.tunnel.path import Binding

VERSION: Final = 1
_GREETING: Final = 1
_PROOF: Final = 2
NONCE_BYTES: Final = 32
_LAYOUT: Final = struct.Struct(">BBH32s")
MESSAGE_BYTES: Final = _LAYOUT.size


class _Awaits(Enum):
    GREETING = auto()
    PROOF = auto()
    NOTHING = auto()


class Handshake:
    """
    One end of one HELLO, on one path.

    Send `greeting` first. Give each received message to `receive` and send what it returns.
    Once `is_verified`, sealed frames may flow both ways. After an error close the path.
    """

    def __init__(
        self,
        role: Role,
        keys: ConversationKeys,
        binding: Binding,
        generation: int,
        *,
        nonce: bytes | None = None,
    ) -> None:
        self._role = role
        self._keys = keys
        self._binding = binding
        self._generation = generation
        self._nonces = {role: nonce or secrets.token_bytes(NONCE_BYTES)}
        self._awaits = _Awaits.GREETING

    @property
    def is_verified(self) -> bool:
        """The peer has proved itself, and our proof was given out to send."""
        return self._awaits is _Awaits.NOTHING

    def greeting(self) -> bytes:
        """The first message of this end."""
        return _LAYOUT.pack(VERSION, _GREETING, self._generation, self._nonces[self._role])

    def receive(self, message: bytes | memoryview) -> bytes | None:
        """
        Take the next message of the peer; returns the message to send now, if any.

        Raises ProtocolViolation for a message of another form or out of turn, and SealBroken
        for a proof that does not verify.
        """
        if len(message) != MESSAGE_BYTES:
            raise ProtocolViolation("a hello message has another length")
        version, kind, generation, value = _LAYOUT.unpack(message)
        if version != VERSION or generation != self._generation:
            raise ProtocolViolation("a hello message has another version or generation")
        if kind == _GREETING and self._awaits is _Awaits.GREETING:
            self._nonces[self._role.peer] = value
            self._awaits = _Awaits.PROOF
            return _LAYOUT.pack(VERSION, _PROOF, self._generation, self._proof(self._role))
        if kind == _PROOF and self._awaits is _Awaits.PROOF:
            if not hmac.compare_digest(value, self._proof(self._role.peer)):
                raise SealBroken
            self._awaits = _Awaits.NOTHING
            return None
        raise ProtocolViolation("a hello message comes out of turn")

    def _proof(self, sender: Role) -> bytes:
        return mac(
            self._keys.hello_key(sender, self._generation),
            "hello",
            sender.value,
            self._keys.conversation_id,
            self._generation,
            self._binding.client,
            self._binding.gateway,
            self._nonces[Role.CLIENT],
            self._nonces[Role.GATEWAY],
        )
