"""
Finds the fuzz targets and runs them.

A target is a module tests/fuzz/fuzz_<what>.py with NAME (its corpus is the folder corpus/<NAME>) and
fuzz(data), which feeds a parser with the data and lets through only what is a finding: documented errors
are caught there, each by type. It may have seeds(), which makes good inputs that no file can keep.
"""

from __future__ import annotations

import hashlib
import importlib
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from tests.fuzz.mutation import Mutator

FOLDER = Path(__file__).resolve().parent
CORPUS = FOLDER / "corpus"
CRASHES = FOLDER / "crashes"
# No input may keep a parser longer than this; a busy machine is allowed for.
INPUT_DEADLINE_S = 10.0


class TooSlow(AssertionError):
    """One input kept the parser longer than INPUT_DEADLINE_S."""


@dataclass(frozen=True)
class Target:
    """One parser under fuzzing."""

    name: str
    fuzz: Callable[[bytes], None]
    corpus: tuple[bytes, ...]


@dataclass(frozen=True)
class Crash:
    """An input that broke a rule, where it is kept, and the error."""

    path: Path
    error: Exception


def find_targets() -> list[Target]:
    """All targets with their corpora, by name."""
    targets = []
    for path in sorted(FOLDER.glob("fuzz_*.py")):
        module = importlib.import_module(f"tests.fuzz.{path.stem}")
        files = [file.read_bytes() for file in sorted((CORPUS / module.NAME).glob("*"))]
        made: list[bytes] = module.seeds() if hasattr(module, "seeds") else []
        targets.append(Target(module.NAME, module.fuzz, (*files, *made)))
    return targets


def run(
    target: Target, *, seed: int, count: int | None = None, seconds: float | None = None
) -> tuple[int, Crash | None]:
    """
    Feed a target until the count or the time is used up, or an input breaks a rule.

    Returns how many inputs ran, and the crash, whose input is kept under crashes/<name>/.
    Runs in the main thread, because the deadline of an input is a signal.
    """
    end = None if seconds is None else time.monotonic() + seconds
    done = 0
    for data in Mutator(target.corpus, seed).inputs():
        if done == count or (end is not None and time.monotonic() >= end):
            break
        try:
            with _deadline(INPUT_DEADLINE_S):
                target.fuzz(data)
        except Exception as error:  # noqa: BLE001 (anything a target lets through is the finding)
            return done + 1, Crash(_keep(target.name, data), error)
        done += 1
    return done, None


def _keep(name: str, data: bytes) -> Path:
    folder = CRASHES / name
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / hashlib.sha256(data).hexdigest()[:16]
    path.write_bytes(data)
    return path


@contextmanager
def _deadline(seconds: float) -> Iterator[None]:
    """Interrupt the block when it runs too long; a deadline that was set around it goes on after."""

    def ring(number: int, frame: FrameType | None) -> None:
        raise TooSlow(f"one input took more than {seconds:g} s")

    started = time.monotonic()
    before = signal.signal(signal.SIGALRM, ring)
    outer, _ = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        left = max(outer - (time.monotonic() - started), 0.001) if outer else 0.0
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, left)
