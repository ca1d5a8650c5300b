"""
Keeps the session of open tunnels in use.

A session that makes no call for half an hour ends at the server, and a tunnel makes none while all
is well; without a session it could not ask for another path.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from commander.api.client import Api
from commander.errors import CommanderError
from commander.tasks import cancel_and_wait, spawn
from commander.wire.calls import SESSION, Empty

EVERY_S = 600.0
"""With ten minutes of waiting for a path on top it stays below the server's half hour."""
_log = logging.getLogger(__name__)


class SessionUse:
    """Asks for the session now and then, between `start` and `close`; `api` tells whose, None for no call."""

    def __init__(self, api: Callable[[], Api | None], *, every_s: float = EVERY_S) -> None:
        self._api = api
        self._every_s = every_s
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; nothing while it goes on."""
        if self._task is None or self._task.done():
            self._task = spawn(self._run(), name="session-use")

    async def close(self) -> None:
        """Stop; idempotent."""
        task, self._task = self._task, None
        await cancel_and_wait(task)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._every_s)
            api = self._api()
            if api is None:
                continue
            try:
                await api.call(SESSION, Empty())
            except CommanderError as error:
                # A tunnel that has a path needs no server; one without says so itself.
                _log.info("the session could not be used: %s", error)
