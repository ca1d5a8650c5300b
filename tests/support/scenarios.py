"""
Prints a line for each end-to-end scenario, PASS or FAIL, in the words of its docstring.

A pytest plugin; tests/conftest.py takes its hooks. It works over several test processes, because the
title travels with the report.
"""

from __future__ import annotations

from collections.abc import Generator

import pytest

_PROPERTY = "scenario"


def title_of(item: pytest.Item) -> str:
    """First sentence of the test's docstring, or its name; with the parameters where there are some."""
    document = getattr(getattr(item, "function", None), "__doc__", None) or item.name
    first = document.strip().splitlines()[0].rstrip(".")
    parameters = item.name.partition("[")[2]
    return f"{first} [{parameters}" if parameters else first


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Give the report of an end-to-end test its title."""
    report = yield
    if item.get_closest_marker("e2e") is not None:
        report.user_properties.append((_PROPERTY, title_of(item)))
    return report


def verdicts(reports: list[pytest.TestReport]) -> dict[str, tuple[str, float]]:
    """Title to verdict and seconds; a scenario fails when its set-up, its test or its end fails."""
    found: dict[str, tuple[str, float]] = {}
    for report in reports:
        for title in (str(value) for name, value in report.user_properties if name == _PROPERTY):
            verdict, seconds = found.get(title, ("PASS", 0.0))
            if not report.passed:
                verdict = "FAIL"
            found[title] = (verdict, seconds + report.duration)
    return found


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the list; nothing when no scenario ran."""
    reports = [
        report
        for group in ("passed", "failed", "error", "skipped", "")
        for report in terminalreporter.getreports(group)
        if isinstance(report, pytest.TestReport)
    ]
    if not (found := verdicts(reports)):
        return
    terminalreporter.section("scenarios")
    for title, (verdict, seconds) in found.items():
        terminalreporter.line(f"{verdict}  {seconds:6.1f} s  {title}")
