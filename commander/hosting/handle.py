"""The shell's light hold on the tunnels of its process; the rest loads when a tunnel command runs."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from commander.clock import Clock
from commander.config.paths import Paths

if TYPE_CHECKING:
    from commander.hosting.host import Hosting


class TunnelsHandle:
    """Implements the shell's port `TunnelHost`; `hosting` gives tunnel commands all of it."""

    def __init__(self, paths: Paths, clock: Clock, notify: Callable[[str], None]) -> None:
        self._paths = paths
        self._clock = clock
        self._notify = notify
        self._hosting: Hosting | None = None

    def open_count(self) -> int:
        """How many tunnels are open in this process."""
        return 0 if self._hosting is None else self._hosting.open_count()

    async def close_all(self, reason: str) -> None:
        """End all of them; idempotent."""
        if self._hosting is not None:
            await self._hosting.close_all(reason)

    def hosting(self) -> Hosting:
        """The tunnels themselves."""
        if self._hosting is None:
            module = importlib.import_module("commander.hosting.host")
            made: Hosting = module.Hosting(self._paths, self._clock, notify=self._notify)
            self._hosting = made
        return self._hosting
