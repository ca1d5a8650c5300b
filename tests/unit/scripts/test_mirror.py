from __future__ import annotations

from pathlib import Path

import pytest

from scripts import mirror


@pytest.mark.parametrize(
    ("module", "test"),
    [
        ("errors.py", "tests/unit/ground/test_errors.py"),
        ("wire/join.py", "tests/unit/wire/test_join.py"),
        ("wire/join.py", "tests/integration/wire/test_join.py"),
        ("shell/output/tables.py", "tests/unit/shell/output/test_tables.py"),
        ("shell/output/tables.py", "tests/unit/shell/test_output_tables.py"),
    ],
)
def test_a_module_has_its_place_for_tests(module: str, test: str) -> None:
    """The test file is found by the module's own name and folder."""
    assert mirror.ROOT / test in mirror.test_files(Path(module))


def test_new_module_without_tests_is_a_problem() -> None:
    """What is not on the list must have a test file."""
    assert mirror.problems({"wire/new.py": "untested"}, {}) == [
        "commander/wire/new.py has no test file (scripts/mirror.py says where)"
    ]


def test_excused_module_is_none() -> None:
    """What is on the list may stay as it is, or grow better without being whole."""
    assert mirror.problems({"wire/new.py": "untested"}, {"wire/new.py": "untested"}) == []
    assert mirror.problems({"wire/new.py": "95"}, {"wire/new.py": "93"}) == []


@pytest.mark.parametrize("excused", ["untested", "93"])
def test_exception_that_is_not_needed_is_a_problem(excused: str) -> None:
    """The list may only shrink: a repaired or removed module leaves it."""
    (said,) = mirror.problems({}, {"wire/old.py": excused})

    assert "needs no exception any more" in said


def test_coverage_may_not_fall() -> None:
    """A module on the list keeps at least what it had."""
    (said,) = mirror.problems({"wire/mux.py": "92"}, {"wire/mux.py": "93"})

    assert said == "commander/wire/mux.py fell from 93% to 92%"
