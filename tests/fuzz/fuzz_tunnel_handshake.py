"""Any message before HELLO is done."""

from __future__ import annotations

from commander.errors import SealBroken
from commander.tunnel.codes import ProtocolViolation, Role
from commander.tunnel.handshake import MESSAGE_BYTES, Handshake
from commander.tunnel.keys import ConversationKeys
from commander.tunnel.path import Binding

NAME = "tunnel-handshake"
_KEYS = ConversationKeys(
    b"s" * 32, b"t" * 32, client_device="device", gateway="gateway", conversation_id="conversation"
)


def seeds() -> list[bytes]:
    """A greeting, and a proof of another conversation."""
    ours, theirs = (Handshake(role, _KEYS, Binding(), 1) for role in Role)
    proof = ours.receive(theirs.greeting())
    assert proof is not None
    return [ours.greeting(), ours.greeting() + proof]


def fuzz(data: bytes) -> None:
    """Noise, whole or in messages of the right size, never verifies."""
    for role in Role:
        handshake = Handshake(role, _KEYS, Binding(), 1, nonce=bytes(32))
        try:
            handshake.receive(data)
            for start in range(0, len(data), MESSAGE_BYTES):
                handshake.receive(data[start : start + MESSAGE_BYTES])
        except (ProtocolViolation, SealBroken):
            pass
        assert not handshake.is_verified
