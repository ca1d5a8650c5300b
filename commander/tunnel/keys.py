"""
All keys of one conversation, from what only its two ends know. Pure.

    root       = HKDF(salt = tunnel seed, ikm = conversation secret, info = identities)
    hello      = HKDF(root, "hello-key",      direction, generation)
    frames     = HKDF(root, "frame-key",      direction, generation)
    signalling = HKDF(root, "signalling-key", direction)

The root needs the record (its seed) *and* the gateway's private key (the secret was sealed to
it). Replies to commands need the secret alone and are sealed in `wire.commands`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from commander.crypto.encoding import encode
from commander.crypto.kdf import derive
from commander.errors import InvalidInput, SealBroken
from commander.secret import Secret
from commander.tunnel.codes import Role
from commander.tunnel.seal import MAX_GENERATION, Opener, Sealer

MIN_SECRET_BYTES: Final = 16
MAX_SIGNAL_BYTES: Final = 64 * 1024
MAX_SIGNALS: Final = 200
_SIGNAL_VERSION: Final = 1
_SIGNAL_HEADER: Final = struct.Struct(">BI")
_SIGNAL_OVERHEAD: Final = _SIGNAL_HEADER.size + 16


@dataclass(frozen=True)
class Identities:
    """Who talks about what; both ends fill it from the signed command, never from the peer."""

    conversation_id: str
    client_device: str
    gateway: str
    record: str = ""
    user: str = ""

    def fields(self) -> tuple[str, str, str, str, str]:
        """The fields in the order in which keys are bound to them."""
        return (self.conversation_id, self.client_device, self.gateway, self.record, self.user)


class ConversationKeys:
    """
    The keys of one conversation; the same on both ends when all inputs are.

    Keep one object for each conversation and end: it makes sure that no generation is sealed
    twice.
    """

    def __init__(
        self,
        conversation_secret: bytes,
        tunnel_seed: bytes,
        *,
        client_device: str,
        gateway: str,
        conversation_id: str,
        record: str = "",
        user: str = "",
    ) -> None:
        if len(conversation_secret) < MIN_SECRET_BYTES:
            raise InvalidInput("a conversation secret has at least 16 bytes")
        if len(tunnel_seed) < MIN_SECRET_BYTES:
            raise InvalidInput("a tunnel seed has at least 16 bytes")
        self.identities = Identities(conversation_id, client_device, gateway, record, user)
        fields = self.identities.fields()
        self._sealed: set[tuple[Role, int]] = set()
        root = derive(conversation_secret, "conversation-root", *fields, salt=tunnel_seed)
        self._root = Secret(root)

    @property
    def conversation_id(self) -> str:
        """The conversation these keys belong to."""
        return self.identities.conversation_id

    def hello_key(self, sender: Role, generation: int) -> bytes:
        """MAC key of the HELLO that `sender` sends."""
        return self._derive("hello-key", sender, _checked(generation))

    def frame_key(self, sender: Role, generation: int) -> bytes:
        """First AES-256-GCM key of the frames that `sender` sends in a generation."""
        return self._derive("frame-key", sender, _checked(generation))

    def sealer(self, role: Role, generation: int) -> Sealer:
        """
        Make the sealer of this end for a new generation.

        Raises InvalidInput the second time: two sealers with one key would repeat nonces.
        """
        if (role, generation) in self._sealed:
            raise InvalidInput(f"generation {generation} of the {role} was used before")
        self._sealed.add((role, generation))
        key = self.frame_key(role, generation)
        return Sealer(key, self.conversation_id, role, generation)

    def opener(self, role: Role, generation: int) -> Opener:
        """Make the opener of this end for a new generation."""
        key = self.frame_key(role.peer, generation)
        return Opener(key, self.conversation_id, role.peer, generation)

    def signalling(self, role: Role) -> Signalling:
        """Make the signalling of this end; once per conversation, since it counts messages."""
        keys = {sender: self._derive("signalling-key", sender, 0) for sender in Role}
        return Signalling(role, self.conversation_id, keys[role], keys[role.peer])

    def wipe(self) -> None:
        """Overwrite what further keys could be derived from, once the conversation is over."""
        self._root.wipe()

    def _derive(self, purpose: str, sender: Role, number: int) -> bytes:
        return derive(self._root.reveal(), purpose, sender.value, number)


def _checked(generation: int) -> int:
    if not 1 <= generation <= MAX_GENERATION:
        raise InvalidInput(f"generation {generation} is out of range")
    return generation


class Signalling:
    """
    Seals and opens the messages by which two ends set up their paths; the router relays them.

        sealed = version u8 (1) | number u32 | AES-256-GCM(body)

    Numbers count from 0 in each direction without a gap: a lost, repeated, reordered or
    reflected message does not open. 64 KiB a message and 200 messages each way.
    """

    def __init__(self, role: Role, conversation_id: str, send_key: bytes, open_key: bytes) -> None:
        self._conversation_id = conversation_id
        self._role = role
        self._sender = AESGCM(send_key)
        self._opener = AESGCM(open_key)
        self._sent = 0
        self._opened = 0

    def seal(self, body: bytes) -> bytes:
        """Seal the next message. Raises InvalidInput over the size or the count."""
        if len(body) > MAX_SIGNAL_BYTES or self._sent >= MAX_SIGNALS:
            raise InvalidInput("signalling is limited to 200 messages of 64 KiB")
        nonce, associated = self._context(self._role, self._sent)
        sealed = self._sender.encrypt(nonce, body, associated)
        header = _SIGNAL_HEADER.pack(_SIGNAL_VERSION, self._sent)
        self._sent += 1
        return header + sealed

    def open(self, sealed: bytes) -> bytes:
        """Open the next message of the peer. Raises SealBroken for anything else."""
        size = len(sealed) - _SIGNAL_OVERHEAD
        if not 0 <= size <= MAX_SIGNAL_BYTES or self._opened >= MAX_SIGNALS:
            raise SealBroken
        version, number = _SIGNAL_HEADER.unpack_from(sealed)
        if version != _SIGNAL_VERSION or number != self._opened:
            raise SealBroken
        nonce, associated = self._context(self._role.peer, number)
        try:
            body = self._opener.decrypt(nonce, sealed[_SIGNAL_HEADER.size :], associated)
        except InvalidTag:
            raise SealBroken from None
        self._opened += 1
        return body

    def _context(self, sender: Role, number: int) -> tuple[bytes, bytes]:
        return number.to_bytes(12, "big"), encode(
            "signal", self._conversation_id, sender.value, number
        )
