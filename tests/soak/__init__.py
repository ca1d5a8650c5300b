"""
What only long or large runs show, as parts that `scripts/soak` calls and small tests run reduced.

A part is a module with `run(size) -> Iterator[Figure]`: it yields what it measured, and a figure above
its limit, or an AssertionError, is a failed gate.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

PARTS = (
    "paths",
    "tunnels",
    "streams",
    "websockets",
    "webrtc",
    "router",
    "stalled",
    "short",
    "flapping",
    "storm",
)


@dataclass(frozen=True)
class Size:
    """How large: `scale` 1.0 is the full size; `folder` is an empty directory to work in."""

    scale: float
    folder: Path
    began: float = field(default_factory=time.monotonic)

    def of(self, full: int, *, least: int = 1) -> int:
        """A number of the full size, scaled."""
        return max(least, round(full * self.scale))

    def tell(self, text: str) -> None:
        """Say on standard error how far it is."""
        sys.stderr.write(f"  {time.monotonic() - self.began:6.0f} s  {text}\n")
        sys.stderr.flush()


@dataclass(frozen=True)
class Figure:
    """One measured value; above `limit` the gate has failed."""

    name: str
    value: float
    unit: str
    limit: float | None = None

    @property
    def is_met(self) -> bool:
        """Whether it is within its limit."""
        return self.limit is None or self.value <= self.limit

    def __str__(self) -> str:
        bound = "" if self.limit is None else f"   (at most {self.limit:g})"
        mark = "" if self.is_met else "   OVER ITS LIMIT"
        return f"{self.name:<56} {self.value:>12,.2f} {self.unit}{bound}{mark}"
