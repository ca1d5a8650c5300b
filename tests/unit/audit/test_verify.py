from __future__ import annotations

import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commander.audit import verify as verify_module
from commander.audit.chain import EMPTY, ChainHead, ChainWriter, Entry
from commander.audit.events import LogHeadChanged
from commander.audit.verify import Finding, Problem, Verdict, verify
from commander.crypto.signing import SigningKey
from commander.errors import InvalidInput

KEY = SigningKey(bytes(range(32)))
KEYS = {"p": KEY.public, "q": KEY.public}
NOW = 1_800_000_000_000
SIZE = 12


def chain(count: int = SIZE, producer: str = "p", head: ChainHead = EMPTY) -> list[Entry]:
    """A good chain."""
    writer = ChainWriter(producer, KEY, head)
    return [
        writer.seal(LogHeadChanged(n, bytes(32), 0, 0), time_ms=NOW - n * 1000)
        for n in range(count)
    ]


GOOD = chain()


def problem(finding: Finding, first: int, last: int | None = None) -> Problem:
    return Problem("p", first, first if last is None else last, finding)


def forged(entry: Entry) -> Entry:
    return msgspec.structs.replace(entry, time_ms=entry.time_ms + 1)


def found(entries: list[Entry], expected: ChainHead | None = None) -> list[Problem]:
    known = {} if expected is None else {"p": expected}
    return list(verify(entries, KEYS, expected=known).problems)


def test_good_chain_is_sound_whatever_its_clock_says() -> None:
    """Order is the sequence; here time even runs backwards."""
    verdict = verify(GOOD, KEYS)

    assert verdict == Verdict((), {"p": ChainHead.after(GOOD[-1])}, SIZE)
    assert verdict.is_sound


@pytest.mark.parametrize("number", range(2, SIZE))
def test_removed_entry_is_named(number: int) -> None:
    """One entry taken out in the middle is missing, and nothing else is wrong."""
    assert found(GOOD[: number - 1] + GOOD[number:]) == [problem(Finding.MISSING, number)]


def test_removed_range_and_beginning_are_named() -> None:
    """A range is one finding, also at the beginning."""
    assert found(GOOD[5:]) == [problem(Finding.MISSING, 1, 5)]
    assert found(GOOD[:2] + GOOD[4:7] + GOOD[9:]) == [
        problem(Finding.MISSING, 3, 4),
        problem(Finding.MISSING, 8, 9),
    ]


def test_removed_end_shows_against_a_known_head_only() -> None:
    """A cut log is good in itself; the pinned head shows what is gone."""
    head = ChainHead.after(GOOD[-1])

    assert found(GOOD[:8]) == []
    assert found(GOOD[:8], head) == [problem(Finding.TRUNCATED, 9, SIZE)]
    assert found([], head) == [problem(Finding.TRUNCATED, 1, SIZE)]
    assert found(GOOD, head) == []


@pytest.mark.parametrize("number", range(1, SIZE))
def test_swapped_entries_are_named(number: int) -> None:
    """Of two neighbours in wrong order, the one that comes late is named."""
    swapped = GOOD.copy()
    swapped[number - 1], swapped[number] = swapped[number], swapped[number - 1]

    assert found(swapped) == [problem(Finding.REORDERED, number)]


@pytest.mark.parametrize("number", range(1, SIZE + 1))
@pytest.mark.parametrize("at", [0, 6, SIZE])
def test_repeated_entry_is_named(number: int, at: int) -> None:
    """A copy anywhere is a duplicate; where it stands first, the order is wrong too."""
    entries = [*GOOD[:at], GOOD[number - 1], *GOOD[at:]]

    names = found(entries)

    assert problem(Finding.DUPLICATED, number) in names
    assert {p.finding for p in names} <= {Finding.DUPLICATED, Finding.REORDERED}


@pytest.mark.parametrize("number", range(1, SIZE + 1))
def test_changed_entry_is_named(number: int) -> None:
    """An entry changed in the store is forged, and not reported as missing as well."""
    entries = [*GOOD[: number - 1], forged(GOOD[number - 1]), *GOOD[number:]]

    assert found(entries) == [problem(Finding.FORGED, number)]


def test_forged_entries_split_a_gap() -> None:
    """Numbers that are named as forged are left out of the missing ranges."""
    entries = [GOOD[0], forged(GOOD[3]), forged(GOOD[4]), forged(GOOD[7]), *GOOD[9:]]

    assert found(entries) == sorted(
        [
            problem(Finding.FORGED, 4), problem(Finding.FORGED, 5), problem(Finding.FORGED, 8),
            problem(Finding.MISSING, 2, 3), problem(Finding.MISSING, 6, 7),
            problem(Finding.MISSING, 9),
        ]
    )  # fmt: skip


def test_forged_copy_beside_the_real_entry_is_named() -> None:
    """An added forgery does not hide that the chain is whole."""
    verdict = verify([*GOOD, forged(GOOD[4])], KEYS)

    assert verdict.problems == (problem(Finding.FORGED, 5),)
    assert verdict.heads["p"] == ChainHead.after(GOOD[-1])


def test_entry_signed_by_another_key_is_forged() -> None:
    """A store that has a key of its own cannot add entries."""
    writer = ChainWriter("p", SigningKey(bytes(32)), ChainHead.after(GOOD[-1]))
    extra = writer.seal(LogHeadChanged(1, b"", 0, 0), time_ms=NOW)

    assert found([*GOOD, extra]) == [problem(Finding.FORGED, SIZE + 1)]


def test_two_signed_entries_of_one_number_are_a_fork() -> None:
    """A producer that went back to an old copy of its store is found out."""
    other = chain(3, head=ChainHead.after(GOOD[8]))

    names = found(GOOD + other)

    assert names == [problem(Finding.FORKED, number) for number in (10, 11, 12)]


def test_second_life_of_a_chain_is_a_fork_where_it_begins() -> None:
    """Where the old end is gone, the link to another predecessor still shows."""
    other = chain(3, head=ChainHead(9, b"x" * 32))

    assert found(GOOD[:9] + other) == [problem(Finding.FORKED, 10)]


def test_other_head_than_the_known_one_is_a_fork() -> None:
    """A head that was pinned must be in the chain."""
    assert found(GOOD, ChainHead(5, b"x" * 32)) == [problem(Finding.FORKED, 5)]
    assert found(GOOD, ChainHead.after(GOOD[4])) == []


def test_producers_are_judged_apart() -> None:
    """Interleaved chains are all good; a producer without a key is named once."""
    other, stranger = chain(4, "q"), chain(3, "stranger")
    mixed = [entry for pair in zip(GOOD, other * 3, strict=True) for entry in pair]

    names = {(p.producer, p.finding) for p in verify(mixed, KEYS).problems}
    strange = verify([*GOOD, *other, *stranger], KEYS)

    assert names == {("q", Finding.DUPLICATED)}
    assert strange.problems == (Problem("stranger", 1, 3, Finding.UNKNOWN),)
    assert strange.heads["q"] == ChainHead.after(other[-1])
    assert strange.heads["stranger"] == EMPTY


def test_long_log_is_verified_in_parts() -> None:
    """Each part starts at the head the part before ended with."""
    first = verify(GOOD[:7], KEYS)

    assert verify(GOOD[7:], KEYS, start=first.heads).is_sound
    assert found(GOOD[7:]) == [problem(Finding.MISSING, 1, 7)]
    assert verify(GOOD[8:], KEYS, start=first.heads).problems == (problem(Finding.MISSING, 8),)
    assert verify(GOOD[6:], KEYS, start=first.heads).problems == (problem(Finding.DUPLICATED, 7),)
    assert verify(GOOD[2:], KEYS, start=first.heads).problems == tuple(
        problem(Finding.DUPLICATED, number) for number in (3, 4, 5, 6, 7)
    )


def test_wrong_start_is_a_fork() -> None:
    """A part does not fit another beginning."""
    start = {"p": ChainHead(7, b"x" * 32)}

    assert verify(GOOD[7:], KEYS, start=start).problems == (problem(Finding.FORKED, 8),)


def test_nothing_at_all_is_sound() -> None:
    """No entries and nothing expected: nothing is wrong."""
    assert verify([], {}) == Verdict((), {}, 0)


def test_too_many_entries_at_once_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded; the message says what to do."""
    monkeypatch.setattr(verify_module, "MAX_ENTRIES", 5)
    verify(GOOD[:5], KEYS)

    with pytest.raises(InvalidInput, match="verify in parts"):
        verify(GOOD[:6], KEYS)


def test_problem_reads_as_a_sentence() -> None:
    """The text names finding, numbers and producer."""
    assert str(problem(Finding.MISSING, 3, 5)) == "missing: 3 to 5 of p"
    assert str(problem(Finding.FORGED, 3)) == "forged: 3 of p"


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32), removed=st.sets(st.integers(2, SIZE - 1), max_size=6))
def test_any_loss_and_any_order_are_told_apart(seed: int, removed: set[int]) -> None:
    """Shuffled and thinned out, exactly the lost numbers are missing."""
    kept = [entry for entry in GOOD if entry.sequence not in removed]
    random.Random(seed).shuffle(kept)

    names = found(kept)

    missing = {
        number
        for p in names
        if p.finding is Finding.MISSING
        for number in range(p.first, p.last + 1)
    }
    assert missing == removed
    assert {p.finding for p in names} <= {Finding.MISSING, Finding.REORDERED}
    in_order = [entry.sequence for entry in kept] == sorted(entry.sequence for entry in kept)
    assert in_order == all(p.finding is not Finding.REORDERED for p in names)
