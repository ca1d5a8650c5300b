"""How findings read, and which exit code they come to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commander.diagnosis.report import CLASSES, Finding, State, as_text, exit_code, soften, summary


def found(state: State, exits: int = 0, key: str = "x", **more: str) -> Finding:
    return Finding(key, f"Title {key}", state, exit_code=exits, **more)  # type: ignore[arg-type]  # texts only


@pytest.mark.parametrize(
    ("codes", "expected"),
    [([], 0), ([6], 6), ([4, 6], 6), ([5, 4], 4), ([5, 3], 3), ([0], 1), ([99], 1), ([1, 8], 8)],
)
def test_the_worst_class_decides_the_exit_code(codes: list[int], expected: int) -> None:
    """Unreachable before not allowed before not found before not logged in; order does not matter."""
    findings = [found(State.OK), found(State.WARN, 6), *(found(State.FAIL, code) for code in codes)]

    assert exit_code(findings) == exit_code(findings[::-1]) == expected


@given(codes=st.lists(st.sampled_from(CLASSES)))
def test_any_failure_gives_a_failing_exit_code(codes: list[int]) -> None:
    """0 exactly when nothing failed."""
    assert (exit_code([found(State.FAIL, code) for code in codes]) == 0) == (not codes)


def test_one_path_that_works_makes_the_failures_of_others_warnings() -> None:
    """A tunnel needs one kind of path; when none works, all of them have failed."""
    failed = found(State.FAIL, 6, key="path-a")
    other = found(State.FAIL, 6, key="target")

    softened = soften([other, failed, found(State.OK, key="path-b")], "path-")
    hard = soften([failed, found(State.SKIPPED, key="path-b")], "path-")

    assert [f.state for f in softened] == [State.FAIL, State.WARN, State.OK]
    assert (exit_code(softened[1:]), exit_code(hard)) == (0, 6)


def test_a_person_reads_state_figure_reason_and_what_to_do() -> None:
    """One line a check, the advice below it; advice of what is fine is left out."""
    text = as_text(
        [
            found(State.OK, key="a", figure="3 ms", advice="nothing"),
            found(
                State.FAIL, 6, key="bcd", reason="refused", code="target-refused", advice="start it"
            ),
            found(State.SKIPPED, key="e", reason="needs: Title bcd"),
        ]
    )

    assert text.splitlines() == [
        "ok      Title a    3 ms",
        "FAIL    Title bcd  refused (target-refused)",
        "                   -> start it",
        "skipped Title e    needs: Title bcd",
        "",
        "1 ok, 1 fail, 1 skipped. Look at this first: Title bcd.",
    ]


def test_the_summary_of_a_good_diagnosis_names_nothing() -> None:
    """Counts only."""
    assert summary([found(State.OK), found(State.WARN)]) == "1 ok, 1 warn."


def test_scripts_always_see_the_same_keys() -> None:
    """Whatever the outcome, no key is missing."""
    keys = {
        "check", "title", "state", "figure", "reason", "advice", "code", "took_ms", "values",
    }  # fmt: skip

    assert set(found(State.OK).as_json()) == set(found(State.FAIL, 6).as_json()) == keys
