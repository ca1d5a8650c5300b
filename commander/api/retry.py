from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random  # noqa: TID251  only the type; the caller seeds it

FIRST_S = 0.2
FACTOR = 2.0


def backoff(
    rng: random.Random, *, first_s: float = FIRST_S, limit_s: float = 30.0
) -> Iterator[float]:
    """
    Waits before the next tries, without end: doubling up to `limit_s`, each drawn from the upper
    half of its span, so that many clients do not come back at once.
    """
    span = first_s
    while True:
        yield span * (0.5 + rng.random() / 2)
        span = min(span * FACTOR, limit_s)
