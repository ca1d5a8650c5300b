"""How late the event loop runs what is due: the first sign that a process is overloaded or stuck."""

from __future__ import annotations

import asyncio
from collections import deque

from commander.metrics.histogram import LAG_BOUNDS, Histogram

EVERY_S = 0.5
RECENT = 30
STALLED_S = 2.0


class LoopLag:
    """Measures the running loop between `start` and `stop`; costs two wake-ups a second."""

    def __init__(self, *, every_s: float = EVERY_S) -> None:
        self._every_s = every_s
        self.histogram = Histogram(LAG_BOUNDS)
        self._recent: deque[float] = deque(maxlen=RECENT)
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin; call it within the loop."""
        loop = asyncio.get_running_loop()
        self._due = loop.time() + self._every_s
        self._timer = loop.call_at(self._due, self._tick)

    def stop(self) -> None:
        """End; idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def worst(self) -> float:
        """The greatest lag of the last 15 s, in seconds."""
        return max(self._recent, default=0.0)

    def is_stalled(self) -> bool:
        """Whether the loop was so late within the last 15 s that peers may have given us up."""
        return self.worst() >= STALLED_S

    def _tick(self) -> None:
        self.note(asyncio.get_running_loop().time() - self._due)
        self.start()

    def note(self, late_s: float) -> None:
        """Take one measurement."""
        self._recent.append(late_s)
        self.histogram.observe(late_s)
