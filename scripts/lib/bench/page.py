"""What all parts of scripts/bench share: their plan, the line that says what was measured on, and the page."""

from __future__ import annotations

import importlib
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

ROOT = Path(__file__).resolve().parents[3]
BIN = ROOT / ".venv" / "bin"
PAGE = ROOT / "docs" / "performance.md"


@dataclass(frozen=True)
class Plan:
    """How one part is to be measured."""

    rounds: int
    """0: the part's own number."""
    is_quick: bool
    folder: Path
    """Empty, and removed afterwards."""
    is_private: bool
    """Whether this is a network namespace of our own, made by root."""


class Part(Protocol):
    """A module of this folder."""

    def run(self, plan: Plan) -> str:
        """Measure, and write a section that begins with `## `."""
        ...


def section(part: str, plan: Plan) -> str:
    """Measure one part; its text, with the machine, the load and the command."""
    module = cast("Part", importlib.import_module(f"scripts.lib.bench.{part}"))
    before = os.getloadavg()[0]
    title, _, text = module.run(plan).strip().partition("\n")
    return f"{title}\n\n{_machine(part, plan, before)}\n\n{text.strip()}\n"


def _machine(part: str, plan: Plan, before: float) -> str:
    head = _said("git", "-C", str(ROOT), "rev-parse", "--short", "HEAD")
    words = ["scripts/bench", part, *(["--rounds", str(plan.rounds)] if plan.rounds else [])]
    return (
        f"`{shlex.join([*words, *(['--quick'] if plan.is_quick else [])])}`, "
        f"{time.strftime('%Y-%m-%d %H:%M', time.gmtime())} UTC, commit {head}, {os.cpu_count()} cores "
        f"({platform.machine()}), Linux {platform.release().split('-')[0]}, "
        f"Python {platform.python_version()}, load {before:.1f} before, {os.getloadavg()[0]:.1f} after."
    )


def _said(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True).stdout.strip()


def write(part: str, text: str, to: Path = PAGE) -> None:
    """Put a section between its marks; a part that has none yet gets its place at the end."""
    begin, end = f"<!-- figures: {part}: begin -->", f"<!-- figures: {part}: end -->"
    content = to.read_text()
    if begin not in content:
        content = f"{content.rstrip()}\n\n{begin}\n{end}\n"
    before, _, rest = content.partition(begin)
    _, _, after = rest.partition(end)
    to.write_text(f"{before}{begin}\n\n{text.strip()}\n\n{end}{after}")


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` of all do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def progress(text: str) -> None:
    """Say on standard error how far it is."""
    print(text, file=sys.stderr, flush=True)
