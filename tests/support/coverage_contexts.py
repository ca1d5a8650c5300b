"""Tells a coverage run which test file each line was run from, so that scripts/mirror.py can ask."""

from __future__ import annotations

from collections.abc import Generator

import coverage
import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Name the context of all that runs for this test after its file; nothing without coverage."""
    if (running := coverage.Coverage.current()) is not None:
        running.switch_context(item.location[0])
    return (yield)
