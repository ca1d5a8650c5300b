from __future__ import annotations

import time
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commander.plugin.command import ArgumentKind
from commander.plugin.registry import Registry
from commander.shell.completion import MAX_CANDIDATES, complete
from commander.shell.lexer import scan_line
from tests.unit.plugin.sample import RECORDS, commander_commands

REGISTRY = Registry()
REGISTRY.add("sample", commander_commands())


def sources(kind: ArgumentKind) -> Iterable[str]:
    return RECORDS if kind is ArgumentKind.RECORD else []


def after(line: str) -> list[str]:
    return [candidate.text for candidate in complete(line, len(line), REGISTRY, sources)]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", ["fail", "mv", "pam", "record-add", "secrets-manager", "sm", "tl"]),
        ("p", ["pam "]),
        ("pam t", ["t", "tunnel"]),
        ("pam t s", ["start", "stop"]),
        ("pam t sta", ["start "]),
        ("echo x; mv a; sm app ", ["list "]),
        ("nope ", []),
        ("pam nope ", []),
        ("fail m", ["missing "]),
        ("pam tunnel start X --wait ", ["yes", "no"]),
        ("pam tunnel start X --wait=n", ["--wait=no "]),
        ("pam tunnel start X --ba", ["--background "]),
        ("pam tunnel start X --background --ba", []),
        ("pam tunnel start X --tag a --tag", ["--tag "]),
        ("pam tunnel start X --target-host ", []),
        ("pam tunnel start X ", []),
        ("# pam ", []),
        ("echo ${", []),
    ],
)
def test_what_may_follow(line: str, expected: list[str]) -> None:
    """Names, flags and values in their places; a word that can only be one is finished."""
    assert after(line) == expected


def test_titles_are_quoted_and_matched_without_case() -> None:
    """A title with blanks is offered as one word; typed quotes and case do not matter."""
    both = ["'Orders DB'", "'Orders Archive'"]

    assert after("pam t start o") == both
    assert after("pam t start 'Orders ") == both
    assert after('pam t start "orders d') == ["'Orders DB' "]
    assert after("pam t start Orders\\ D") == ["'Orders DB' "]


def test_b008_titles_that_look_like_flags_are_offered_behind_dashes() -> None:
    """A record called `--all` is completed so that it is not taken for a flag."""
    assert "-- --all" in after("pam t start ")


@pytest.mark.parametrize("title", RECORDS)
def test_what_is_offered_reads_back(title: str) -> None:
    """Accepting a candidate gives a line whose last word is the title."""
    line = "pam t start "
    offered = [c for c in complete(line, len(line), REGISTRY, sources) if c.shown == title]
    made = line[: offered[0].start] + offered[0].text

    assert scan_line(made).statements[-1][-1].literal == title


@pytest.mark.parametrize("title", ["a\u202eevil", "a\x1b[2J", "a\nb"])
def test_b010_names_that_look_otherwise_than_they_are_are_not_offered(title: str) -> None:
    """Accepted, they would stand in the line raw; such a record has its UID."""
    found = complete("pam t start a", 13, REGISTRY, lambda kind: [title, "an honest one"])

    assert [candidate.shown for candidate in found] == ["an honest one"]


def test_the_cursor_decides_not_the_end_of_the_line() -> None:
    """Only what stands before the cursor counts."""
    candidates = complete("pam tun start", 5, REGISTRY, sources)

    assert [(c.text, c.start) for c in candidates] == [("t", 4), ("tunnel", 4)]


def test_b016_a_hundred_thousand_records_complete_fast() -> None:
    """Completion stays bounded in number and time for a huge vault."""
    titles = [f"Record {number}" for number in range(100_000)]
    begun = time.process_time()
    found = complete("pam t start rec", 15, REGISTRY, lambda kind: titles)
    nothing = complete("pam t start zzz", 15, REGISTRY, lambda kind: titles)

    # Five times the budget of 100 ms: it ends runaway work, and is no measurement.
    assert time.process_time() - begun < 0.5
    assert len(found) == MAX_CANDIDATES
    assert nothing == []


@given(st.text(max_size=30), st.integers(0, 30))
def test_any_text_can_be_completed(text: str, cursor: int) -> None:
    """No text raises, and candidates replace only what was typed."""
    cursor = min(cursor, len(text))

    for candidate in complete(text, cursor, REGISTRY, sources):
        assert 0 <= candidate.start <= cursor
