"""
Values of events that only those may read who may read the record: a target's host.

    value = "sealed:" + base64url(AES-256-GCM(derive(record key, "audit-value"), text, aad = conversation))

The server keeps events as they are, so what it must not see is sealed before it is written.
"""

from __future__ import annotations

from commander.crypto import aead
from commander.crypto.encoding import encode, from_base64url, to_base64url
from commander.crypto.kdf import derive
from commander.errors import InvalidInput, SealBroken

PREFIX = "sealed:"
STEP_BYTES = 64


def seal_value(record_key: bytes, conversation: str, text: str) -> str:
    """Seal a text for an event of a conversation; padded, so that its length tells little."""
    raw = text.encode()
    raw += b"\0" * (-len(raw) % STEP_BYTES)
    key = derive(record_key, "audit-value")
    return PREFIX + to_base64url(aead.seal(key, raw, encode("audit-value", conversation)))


def open_value(record_key: bytes, conversation: str, value: str) -> str:
    """Read what `seal_value` made. Raises SealBroken for anything else."""
    if not value.startswith(PREFIX):
        raise SealBroken
    key = derive(record_key, "audit-value")
    try:
        sealed = from_base64url(value[len(PREFIX) :])
        raw = aead.open_sealed(key, sealed, encode("audit-value", conversation))
        return raw.rstrip(b"\0").decode()
    except (InvalidInput, UnicodeError):
        raise SealBroken from None
