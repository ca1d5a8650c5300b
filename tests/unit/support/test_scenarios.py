from __future__ import annotations

from typing import Literal

import pytest

from tests.support.scenarios import verdicts

Outcome = Literal["passed", "failed"]
When = Literal["setup", "call", "teardown"]


def report(title: str, when: When, outcome: Outcome) -> pytest.TestReport:
    return pytest.TestReport(
        nodeid=f"tests/e2e/{title}", location=("tests/e2e", 1, title), keywords={},
        outcome=outcome, longrepr=None, when=when, duration=1.5,
        user_properties=[("scenario", title)],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("setup", "call", "teardown", "verdict"),
    [
        ("passed", "passed", "passed", "PASS"),
        ("failed", "passed", "passed", "FAIL"),
        ("passed", "failed", "passed", "FAIL"),
        ("passed", "passed", "failed", "FAIL"),
    ],
)
def test_scenario_passes_only_as_a_whole(
    setup: Outcome, call: Outcome, teardown: Outcome, verdict: str
) -> None:
    """A scenario whose set-up or end fails has failed, whatever came before or after."""
    reports = [
        report("journey", "setup", setup),
        report("journey", "call", call),
        report("journey", "teardown", teardown),
    ]

    assert verdicts(reports) == {"journey": (verdict, 4.5)}
    assert verdicts(reports[::-1]) == {"journey": (verdict, 4.5)}


def test_other_tests_are_no_scenarios() -> None:
    """A report without a title is left out."""
    plain = report("unit", "call", "passed")
    plain.user_properties.clear()

    assert verdicts([plain, report("journey", "call", "passed")]) == {"journey": ("PASS", 1.5)}
