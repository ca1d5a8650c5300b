"""
Finds out what was done to stored chains, and names the sequence numbers.

    MISSING     entries that must have existed are not there (a range)
    TRUNCATED   the chain ends before a head that is known from elsewhere (a range)
    REORDERED   an entry stands after one that follows it
    DUPLICATED  the same entry is there again
    FORGED      the producer did not sign the entry, or it was changed since
    FORKED      the producer signed two different entries of one number, or one that names
                another entry before it than the one there: its store was rolled back or copied
    UNKNOWN     no key is known for the producer (the range its entries claim)
"""

from __future__ import annotations

import enum
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from commander.audit.chain import EMPTY, ChainHead, Entry
from commander.crypto.signing import VerifyKey
from commander.errors import InvalidInput, SealBroken

# A verdict remembers every hash of a chain; longer logs are verified in parts, each
# starting at the head the part before ended with.
MAX_ENTRIES = 1_000_000


class Finding(enum.StrEnum):
    """What is wrong."""

    MISSING = "missing"
    TRUNCATED = "truncated"
    REORDERED = "reordered"
    DUPLICATED = "duplicated"
    FORGED = "forged"
    FORKED = "forked"
    UNKNOWN = "unknown-producer"


@dataclass(frozen=True, order=True)
class Problem:
    """One finding about the sequence numbers `first` to `last` of a producer."""

    producer: str
    first: int
    last: int
    finding: Finding

    def __str__(self) -> str:
        numbers = f"{self.first}" if self.first == self.last else f"{self.first} to {self.last}"
        return f"{self.finding}: {numbers} of {self.producer}"


@dataclass(frozen=True)
class Verdict:
    """All problems in order, and where each sound chain ends now."""

    problems: tuple[Problem, ...]
    heads: dict[str, ChainHead]
    entries: int

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def verify(
    entries: Iterable[Entry],
    keys: Mapping[str, VerifyKey],
    *,
    start: Mapping[str, ChainHead] | None = None,
    expected: Mapping[str, ChainHead] | None = None,
) -> Verdict:
    """
    Check entries of any number of producers in stored order.

    `start` is where each chain was verified up to before; `expected` are heads known from
    elsewhere (pinned, or said by the producer). Raises InvalidInput over MAX_ENTRIES.
    """
    start, expected = start or {}, expected or {}
    chains: dict[str, _Chain] = {
        producer: _Chain(producer, keys.get(producer), start.get(producer, EMPTY))
        for producer in {*start, *expected}
    }
    count = 0
    for entry in entries:
        count += 1
        if count > MAX_ENTRIES:
            raise InvalidInput(f"more than {MAX_ENTRIES} audit entries at once; verify in parts")
        chain = chains.get(entry.producer)
        if chain is None:
            producer = entry.producer
            chain = chains[producer] = _Chain(producer, keys.get(producer), EMPTY)
        chain.take(entry)
    problems = [
        problem
        for producer, chain in chains.items()
        for problem in chain.finish(expected.get(producer))
    ]
    heads = {producer: chain.head() for producer, chain in chains.items()}
    return Verdict(tuple(sorted(problems)), heads, count)


class _Chain:
    def __init__(self, producer: str, key: VerifyKey | None, start: ChainHead) -> None:
        self._producer = producer
        self._key = key
        self._start = start
        self._hashes: dict[int, bytes] = {start.sequence: start.hash}
        self._previous: dict[int, bytes] = {}
        self._forged: set[int] = set()
        self._strange: list[int] = []
        self._highest = start.sequence
        self._problems: list[Problem] = []

    def take(self, entry: Entry) -> None:
        if self._key is None:
            self._strange.append(entry.sequence)
            return
        try:
            entry.verify(self._key)
        except SealBroken:
            self._forged.add(entry.sequence)
            self._report(Finding.FORGED, entry.sequence)
            return
        self._place(entry)

    def _place(self, entry: Entry) -> None:
        number, digest = entry.sequence, entry.hash()
        known = self._hashes.get(number)
        if known is not None or number < self._start.sequence:
            same = known in (None, digest)
            self._report(Finding.DUPLICATED if same else Finding.FORKED, number)
            return
        if number < self._highest:
            self._report(Finding.REORDERED, number)
        self._highest = max(self._highest, number)
        self._hashes[number] = digest
        self._previous[number] = entry.prev_hash

    def finish(self, expected: ChainHead | None) -> list[Problem]:
        """Look for gaps and false links, which show only when all entries are there."""
        if self._strange:
            self._report(Finding.UNKNOWN, min(self._strange), max(self._strange))
        before, forged = self._start.sequence, sorted(self._forged)
        for number in sorted(self._previous):
            if number > before + 1:
                self._report_gap(before + 1, number - 1, forged)
            elif self._previous[number] != self._hashes[before]:
                self._report(Finding.FORKED, number)
            before = number
        if expected is not None:
            self._compare(expected)
        return self._problems

    def head(self) -> ChainHead:
        return ChainHead(self._highest, self._hashes[self._highest])

    def _compare(self, expected: ChainHead) -> None:
        if expected.sequence > self._highest:
            self._report(Finding.TRUNCATED, self._highest + 1, expected.sequence)
        elif self._hashes.get(expected.sequence, expected.hash) != expected.hash:
            self._report(Finding.FORKED, expected.sequence)

    def _report_gap(self, first: int, last: int, forged: list[int]) -> None:
        """Report a gap in the pieces between forged entries, which are named already."""
        for number in forged[bisect_left(forged, first) : bisect_right(forged, last)]:
            if number > first:
                self._report(Finding.MISSING, first, number - 1)
            first = number + 1
        if first <= last:
            self._report(Finding.MISSING, first, last)

    def _report(self, finding: Finding, first: int, last: int | None = None) -> None:
        self._problems.append(
            Problem(self._producer, first, first if last is None else last, finding)
        )
