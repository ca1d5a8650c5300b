"""Audit entries and events from a store or a peer; only InvalidInput may come out."""

from __future__ import annotations

import contextlib

from commander import codec
from commander.audit.chain import ChainHead, ChainWriter, Entry, append
from commander.audit.classes import Sensitivity
from commander.audit.events import KINDS, LogHeadChanged, TunnelIntent, decode_event, encode_event
from commander.audit.redact import line
from commander.audit.verify import verify
from commander.crypto.signing import SigningKey
from commander.errors import InvalidInput, Tampered

NAME = "audit"

_KEY = SigningKey(bytes(range(32)))
_EVENTS = (
    LogHeadChanged(3, bytes(32), 2, 1),
    TunnelIntent("c", "u", "d", "g", "r", "p", 7, "host", 5432),
)


def seeds() -> list[bytes]:
    """Events and entries of two kinds, and a head."""
    writer = ChainWriter("producer", _KEY)
    entries = [writer.seal(event, time_ms=1_800_000_000_000) for event in _EVENTS]
    return [
        *(encode_event(event) for event in _EVENTS),
        *(entry.to_bytes() for entry in entries),
        codec.encode(ChainHead.after(entries[-1])),
    ]


def fuzz(data: bytes) -> None:
    """Read the input as everything it could be, and use what was read."""
    for kind in [*KINDS, data[:20].decode("latin-1")]:
        with contextlib.suppress(InvalidInput):
            event = decode_event(kind, data)
            assert encode_event(event) == data
    with contextlib.suppress(InvalidInput):
        codec.decode(ChainHead, data)
    with contextlib.suppress(InvalidInput):
        _use(Entry.parse(data), data)


def _use(entry: Entry, data: bytes) -> None:
    assert entry.to_bytes() == data
    assert line(entry, show=Sensitivity.SECRET).isprintable()
    with contextlib.suppress(Tampered):
        append(entry, ChainHead(), _KEY.public)
    verify([entry, entry], {"producer": _KEY.public})
