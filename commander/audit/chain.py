"""
The hash chain of one producer's audit events; every entry is signed by the producer.

    entry    version 1, producer UID, sequence from 1, hash of the entry before (32 zeros for the
             first), time in ms, kind, event bytes, signature
    signed   encode("audit-entry", every field but the signature)
    hash     SHA-256(encode("audit-hash", the same fields, signature))

Order within a producer is the sequence, whatever its clock says. `ChainWriter` seals; the caller
stores durably and then confirms. `Verifier` finds what is missing, moved, repeated, forged or
forked, and names the sequence numbers. Only a head known from elsewhere shows that entries are
missing at the end: pass it as `expected`.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from commander import codec
from commander.audit.events import MAX_EVENT_BYTES, Event, decode_event, encode_event, kind_of
from commander.crypto import encoding, kdf, signing
from commander.errors import SealBroken, Tampered

VERSION = 1
HASH_BYTES = 32
FIRST_HASH = bytes(HASH_BYTES)
MAX_ENTRY_BYTES = MAX_EVENT_BYTES + 512
MAX_NUMBER = 2**63 - 1
# The last millisecond of the year 9999, so that every time can be shown.
MAX_TIME_MS = 253_402_300_799_999

_Number = Annotated[int, msgspec.Meta(ge=1, le=MAX_NUMBER)]
_Hash = Annotated[bytes, msgspec.Meta(min_length=HASH_BYTES, max_length=HASH_BYTES)]
_Signature = Annotated[
    bytes, msgspec.Meta(min_length=signing.SIGNATURE_BYTES, max_length=signing.SIGNATURE_BYTES)
]
_PURPOSE = "audit-entry"


class Entry(codec.Message, frozen=True):
    """One event in its producer's chain, as stored and sent."""

    version: Annotated[int, msgspec.Meta(ge=VERSION, le=VERSION)]
    producer: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    sequence: _Number
    prev_hash: _Hash
    time_ms: Annotated[int, msgspec.Meta(ge=0, le=MAX_TIME_MS)]
    kind: Annotated[str, msgspec.Meta(min_length=1, max_length=40)]
    body: Annotated[bytes, msgspec.Meta(max_length=MAX_EVENT_BYTES)]
    signature: _Signature

    @classmethod
    def parse(cls, data: bytes) -> Entry:
        """Read an entry; its signature is not checked. Raises InvalidInput."""
        return codec.decode(cls, data, limit=MAX_ENTRY_BYTES)

    def to_bytes(self) -> bytes:
        """The exact bytes to store and send."""
        return codec.encode(self)

    def event(self) -> Event:
        """The event inside. Raises InvalidInput for an unknown kind."""
        return decode_event(self.kind, self.body)

    def hash(self) -> bytes:
        """What the next entry names as the one before it."""
        return kdf.sha256(encoding.encode("audit-hash", *_fields(self), self.signature))

    def verify(self, key: signing.VerifyKey) -> None:
        """Return when the producer's key signed this entry. Raises SealBroken."""
        key.verify(self.signature, _PURPOSE, *_fields(self))


class ChainHead(codec.Message, frozen=True):
    """Where a producer's chain stands: the last sequence (0 for none) and its hash."""

    sequence: Annotated[int, msgspec.Meta(ge=0, le=MAX_NUMBER)] = 0
    hash: _Hash = FIRST_HASH

    @classmethod
    def after(cls, entry: Entry) -> ChainHead:
        """The head once this entry is the last."""
        return cls(entry.sequence, entry.hash())


EMPTY = ChainHead()


class ChainWriter:
    """
    Seals one producer's events in order; does no IO.

    For each event: `seal`, store the entry durably, `confirm` it; several may be sealed
    before they are stored together. When storing failed, call `rewind`: the next event
    takes the place of the first that was not confirmed. After a restart, or when it is
    unknown whether storing worked, make a new writer from the last entry in the store;
    two entries of one sequence are a fork, and verification reports it.
    """

    def __init__(self, producer: str, key: signing.SigningKey, head: ChainHead = EMPTY) -> None:
        self.producer = producer
        self._key = key
        self._confirmed = head
        self._sealed = head

    @property
    def head(self) -> ChainHead:
        """The last confirmed entry."""
        return self._confirmed

    def seal(self, event: Event, *, time_ms: int) -> Entry:
        """Put an event at the end of the chain. Raises InvalidInput when a value is too long."""
        entry = Entry(
            VERSION, self.producer, self._sealed.sequence + 1, self._sealed.hash, time_ms,
            kind_of(event), encode_event(event), bytes(signing.SIGNATURE_BYTES),
        )  # fmt: skip
        signature = self._key.sign(_PURPOSE, *_fields(entry))
        entry = msgspec.structs.replace(entry, signature=signature)
        self._sealed = ChainHead.after(entry)
        return entry

    def confirm(self, entry: Entry) -> None:
        """Say that this entry, and all before it, are stored. Raises Tampered for a foreign one."""
        if (
            entry.producer != self.producer
            or not self._confirmed.sequence < entry.sequence <= self._sealed.sequence
        ):
            raise Tampered(f"audit entry {entry.sequence} was not sealed by this writer")
        self._confirmed = ChainHead.after(entry)

    def rewind(self) -> None:
        """Forget what was sealed and not confirmed."""
        self._sealed = self._confirmed


def append(entry: Entry, head: ChainHead, key: signing.VerifyKey) -> ChainHead:
    """
    Take the next entry of a chain whose head is known, as a server does that stores events.

    Raises Tampered when it is not signed by the producer or does not follow the head.
    """
    try:
        entry.verify(key)
    except SealBroken:
        raise Tampered(f"audit entry {entry.sequence} of {entry.producer} is forged") from None
    if entry.sequence != head.sequence + 1:
        raise Tampered(
            f"audit entry {entry.sequence} of {entry.producer} does not follow {head.sequence}"
        )
    if entry.prev_hash != head.hash:
        raise Tampered(f"audit entry {entry.sequence} of {entry.producer} continues another chain")
    return ChainHead.after(entry)


def _fields(entry: Entry) -> tuple[encoding.Field, ...]:
    return (
        entry.version, entry.producer, entry.sequence, entry.prev_hash, entry.time_ms,
        entry.kind, entry.body,
    )  # fmt: skip
