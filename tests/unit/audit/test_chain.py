from __future__ import annotations

import contextlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from commander.audit.chain import (
    EMPTY,
    FIRST_HASH,
    MAX_ENTRY_BYTES,
    ChainHead,
    ChainWriter,
    Entry,
    append,
)
from commander.audit.events import KINDS, LogHeadChanged, encode_event
from commander.crypto import encoding, kdf
from commander.crypto.signing import SigningKey, VerifyKey
from commander.errors import InvalidInput, SealBroken, Tampered
from tests.support.vectors import flips, load

KEY = SigningKey(bytes(range(32)))
OWN = load("own/audit")
NOW = 1_800_000_000_000


def head_event(number: int) -> LogHeadChanged:
    return LogHeadChanged(number, bytes(32), 0, 0)


def sealed(count: int, key: SigningKey = KEY, producer: str = "p") -> list[Entry]:
    """A good chain."""
    writer = ChainWriter(producer, key)
    return [writer.seal(head_event(n), time_ms=NOW + n) for n in range(count)]


ENTRY = sealed(1)[0]


def test_recorded_chain_still_verifies() -> None:
    """Entries of every kind from the past are read, follow each other and keep their hashes."""
    *records, last = OWN
    key, head = VerifyKey(bytes.fromhex(last["public"])), EMPTY
    for record in records:
        entry = Entry.parse(bytes.fromhex(record["entry"]))
        head = append(entry, head, key)
        assert entry.kind == record["kind"]
        assert encode_event(entry.event()) == entry.body

    assert head.hash.hex() == last["hash"]
    assert {record["kind"] for record in records} <= set(KINDS)


def test_entry_binds_every_field_in_the_documented_form() -> None:
    """Signature and hash are over the canonical encoding of all fields."""
    fields = (1, "p", 1, FIRST_HASH, NOW, "log-head-changed", ENTRY.body)

    KEY.public.verify(ENTRY.signature, "audit-entry", *fields)
    assert ENTRY.hash() == kdf.sha256(encoding.encode("audit-hash", *fields, ENTRY.signature))


def test_chain_starts_at_one_and_links_by_hash() -> None:
    """Each entry names the hash of the one before; the first names zeros."""
    first, second = sealed(2)

    assert (first.sequence, first.prev_hash) == (1, FIRST_HASH)
    assert (second.sequence, second.prev_hash) == (2, first.hash())
    assert first.event() == head_event(0)


@given(
    numbers=st.lists(st.integers(0, 2**63 - 1), max_size=8),
    times=st.lists(st.integers(0, NOW), min_size=8, max_size=8),
)
def test_what_a_writer_seals_can_be_appended(numbers: list[int], times: list[int]) -> None:
    """Any events at any times, even going back, make one good chain that survives its bytes."""
    writer, head = ChainWriter("p", KEY), EMPTY
    for number, time_ms in zip(numbers, times, strict=False):
        entry = writer.seal(head_event(number), time_ms=time_ms)
        head = append(Entry.parse(entry.to_bytes()), head, KEY.public)
        writer.confirm(entry)

    assert writer.head == head


def test_rewind_takes_the_place_of_what_was_not_stored() -> None:
    """After a failed write the next entry gets the same number, so no gap comes into being."""
    writer = ChainWriter("p", KEY)
    stored = writer.seal(head_event(0), time_ms=NOW)
    writer.confirm(stored)
    lost = [writer.seal(head_event(n), time_ms=NOW) for n in (1, 2)]

    writer.rewind()
    again = writer.seal(head_event(9), time_ms=NOW)

    assert [entry.sequence for entry in lost] == [2, 3]
    assert (again.sequence, again.prev_hash) == (2, stored.hash())


def test_confirming_the_last_of_several_confirms_all() -> None:
    """Group commit: several are sealed, stored together, and confirmed once."""
    writer = ChainWriter("p", KEY)
    entries = [writer.seal(head_event(n), time_ms=NOW) for n in range(5)]

    writer.confirm(entries[-1])
    writer.rewind()

    assert writer.head == ChainHead.after(entries[-1])
    assert writer.seal(head_event(5), time_ms=NOW).sequence == 6


def test_foreign_or_repeated_confirmation_is_refused() -> None:
    """A mix-up of writers or a second confirmation does not move the head."""
    writer = ChainWriter("p", KEY)
    entry = writer.seal(head_event(0), time_ms=NOW)
    writer.confirm(entry)

    for wrong in (entry, sealed(3)[2], sealed(1, producer="other")[0]):
        with pytest.raises(Tampered, match="not sealed by this writer"):
            writer.confirm(wrong)
    assert writer.head.sequence == 1


def test_refused_event_leaves_the_chain_where_it_was() -> None:
    """An event over its limits takes no number."""
    writer = ChainWriter("p", KEY)

    with pytest.raises(InvalidInput):
        writer.seal(LogHeadChanged(-1, b"", 0, 0), time_ms=NOW)
    assert writer.seal(head_event(0), time_ms=NOW).sequence == 1


def test_writer_goes_on_after_a_restart() -> None:
    """A new writer from the last stored entry continues the chain."""
    *_, last = sealed(3)

    entry = ChainWriter("p", KEY, ChainHead.after(last)).seal(head_event(3), time_ms=NOW)

    assert append(entry, ChainHead.after(last), KEY.public).sequence == 4


@pytest.mark.parametrize(
    "change",
    [
        {"producer": "q"}, {"sequence": 2}, {"prev_hash": b"x" * 32}, {"time_ms": NOW + 1},
        {"kind": "login-failed"}, {"body": ENTRY.body + b"\x00"}, {"signature": bytes(64)},
    ],
)  # fmt: skip
def test_changed_field_breaks_the_signature(change: dict[str, Any]) -> None:
    """No field can be changed by whoever keeps the store; the control verifies."""
    ENTRY.verify(KEY.public)
    forged = msgspec.structs.replace(ENTRY, **change)

    with pytest.raises(SealBroken):
        forged.verify(KEY.public)
    with pytest.raises(Tampered, match="is forged"):
        append(forged, EMPTY, KEY.public)
    assert forged.hash() != ENTRY.hash()


def test_no_changed_byte_is_taken() -> None:
    """Each byte of an entry is bound: it is refused as a form or as a forgery."""
    for changed in list(flips(ENTRY.to_bytes())):
        with pytest.raises((InvalidInput, SealBroken)):
            Entry.parse(changed).verify(KEY.public)


def test_cut_entry_is_refused() -> None:
    """An entry cut at any place is refused."""
    for cut in range(len(ENTRY.to_bytes())):
        with pytest.raises(InvalidInput):
            Entry.parse(ENTRY.to_bytes()[:cut])


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2}, {"version": 0}, {"sequence": 0}, {"sequence": 2**63}, {"producer": ""},
        {"producer": "x" * 65}, {"prev_hash": b"x"}, {"signature": b"x"}, {"time_ms": -1},
        {"time_ms": 253_402_300_800_000}, {"kind": ""}, {"kind": "x" * 41},
        {"body": bytes(MAX_ENTRY_BYTES)},
    ],
)  # fmt: skip
def test_entry_out_of_bounds_is_refused(change: dict[str, Any]) -> None:
    """Versions, sizes and numbers are bounded before anything is verified."""
    with pytest.raises(InvalidInput):
        Entry.parse(msgspec.structs.replace(ENTRY, **change).to_bytes())


def test_largest_entry_is_taken() -> None:
    """The borders themselves are allowed, and the whole then fits the limit of an entry."""
    largest = Entry(
        1, "x" * 64, 2**63 - 1, b"x" * 32, 253_402_300_799_999, "k" * 40, bytes(8192), bytes(64)
    )

    assert Entry.parse(largest.to_bytes()) == largest
    assert len(largest.to_bytes()) <= MAX_ENTRY_BYTES == 8192 + 512


def test_entry_that_does_not_follow_is_refused_with_its_numbers() -> None:
    """A server that stores events refuses gaps, repeats and forks at once."""
    first, second, third = sealed(3)
    other = sealed(2, SigningKey(bytes(32)))[1]
    fork = ChainWriter("p", KEY, ChainHead(1, b"x" * 32)).seal(head_event(7), time_ms=NOW)
    head = append(first, EMPTY, KEY.public)

    with pytest.raises(Tampered, match="entry 3 of p does not follow 1"):
        append(third, head, KEY.public)
    with pytest.raises(Tampered, match="entry 1 of p does not follow 1"):
        append(first, head, KEY.public)
    with pytest.raises(Tampered, match="entry 2 of p continues another chain"):
        append(fork, head, KEY.public)
    with pytest.raises(Tampered, match="entry 2 of p is forged"):
        append(other, head, KEY.public)
    assert append(second, head, KEY.public).sequence == 2


@given(data=st.binary(max_size=300))
def test_any_bytes_give_an_entry_or_the_documented_error(data: bytes) -> None:
    """Random bytes never fail otherwise."""
    with contextlib.suppress(InvalidInput):
        Entry.parse(data)
