"""What server and gateway have in common for those who watch them."""

from __future__ import annotations

import argparse
import logging

import pytest

from commander.clock import ManualClock
from commander.errors import NotAllowed, UsageError
from commander.launch.observing import (
    MAX_PROBLEM,
    Observer,
    Problems,
    add_metrics_arguments,
    metrics_listen,
)
from commander.metrics.endpoint import Listen


def options(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_metrics_arguments(parser)
    return parser.parse_args(words)


def test_nothing_listens_unless_asked_for() -> None:
    """No flag, no endpoint; other machines only by a second flag; nonsense is refused at once."""
    assert metrics_listen(options()) is None
    assert metrics_listen(options("--metrics-listen", "127.0.0.1:9464")) == Listen(
        "127.0.0.1", 9464
    )
    with pytest.raises(NotAllowed):
        metrics_listen(options("--metrics-listen", "0.0.0.0:9464"))
    with pytest.raises(UsageError):
        metrics_listen(options("--metrics-listen", "here"))


def test_the_last_problem_is_kept_in_a_line_with_its_time() -> None:
    """Warnings and errors are counted; the text is one line and bounded; the rest is left alone."""
    problems = Problems(ManualClock(1_800_000_000.0))
    logger = logging.getLogger("test.observing")
    logger.setLevel(logging.DEBUG)
    logger.addHandler(problems)

    logger.info("all is well")
    assert problems.described() == ""
    logger.warning("first\nof %d", 2)
    logger.error("x" * 1000)
    logger.removeHandler(problems)

    assert problems.readings() == {("warning",): 1.0, ("error",): 1.0}
    assert problems.described() == "2027-01-15T08:00:00Z " + "x" * MAX_PROBLEM


async def test_an_observer_without_address_only_notes() -> None:
    """Lag and problems are noted while it lasts, nothing is said, and the log is left as it was."""
    said: list[str] = []
    observer = Observer(ManualClock(), None, said.append)

    async with observer.serving((), dict, _ready):
        logging.getLogger("test").warning("something")

    assert said == []
    assert observer.problems.counted["warning"] == 1
    assert observer.problems not in logging.getLogger().handlers


async def _ready() -> list[str]:
    return []
