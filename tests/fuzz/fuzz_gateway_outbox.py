"""The audit outbox as a crash or a stranger left it: whole entries, a torn end, or Tampered."""

from __future__ import annotations

from commander.audit.chain import ChainWriter
from commander.audit.events import TunnelIntent
from commander.crypto.signing import SigningKey
from commander.errors import InvalidInput, Tampered
from commander.gateway.audit import frame, open_intents, read_outbox

NAME = "gateway-outbox"


def seeds() -> list[bytes]:
    """Outboxes of one and three entries."""
    writer = ChainWriter("producer", SigningKey(bytes(32)))
    intent = TunnelIntent("c", "u", "d", "g", "r", "n", 1, "db.internal", 5432)
    entries = [frame(writer.seal(intent, time_ms=number)) for number in range(3)]
    return [entries[0], b"".join(entries), entries[0] + bytes(64)]


def fuzz(data: bytes) -> None:
    """Read the bytes, and what they give again."""
    try:
        entries, whole = read_outbox(data)
    except Tampered:
        return
    assert whole <= len(data)
    assert b"".join(frame(entry) for entry in entries) == data[:whole]
    try:
        open_intents(entries)
    except InvalidInput:
        return
