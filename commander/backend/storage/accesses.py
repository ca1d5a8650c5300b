"""
When clients called last, and from where: noted at once in memory, written together a second later.

Nobody waits for these writes. One commit a client held every client's answer up after each quiet
minute: the commits queued, and each made the shelf ask the store again. A server that is killed forgets the
last second of them.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from commander.backend.storage import clients
from commander.backend.storage.clients import Access
from commander.backend.storage.database import Database
from commander.errors import Refused
from commander.tasks import cancel_and_wait, spawn

NOTED_FOR_S = 60
MOST_NOTED = 20_000
_GATHER_S = 1.0


class Accesses:
    """One for the whole server. Close it before its database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._noted: OrderedDict[str, int] = OrderedDict()
        self._waiting: dict[str, Access] = {}
        self._writer: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()

    def note(self, client_id: str, *, address: str, last: int, now: int) -> None:
        """Note a call, unless one of the last minute was noted; `last` is the stored one."""
        if now - max(last, self._noted.get(client_id, 0)) < NOTED_FOR_S:
            return
        self._noted[client_id] = now
        self._noted.move_to_end(client_id)
        if len(self._noted) > MOST_NOTED:
            self._noted.popitem(last=False)
        self._waiting[client_id] = Access(client_id, address, now)
        if self._writer is None or self._writer.done():
            self._writer = spawn(self._write_soon(), name="accesses")

    async def flush(self) -> None:
        """Write what was noted. A store that can't be written drops it: the next call notes anew."""
        async with self._turn:
            waiting, self._waiting = self._waiting, {}
            if not waiting:
                return
            try:
                async with self._database.transaction(aside=True) as transaction:
                    await clients.used(transaction.connection, list(waiting.values()))
            except Refused:
                for client_id in waiting:
                    self._noted.pop(client_id, None)

    async def close(self) -> None:
        """Write what is still waiting."""
        async with self._turn:
            # Here it sleeps, or waits for the turn: it holds nothing that would be lost.
            await cancel_and_wait(self._writer)
        await self.flush()

    async def _write_soon(self) -> None:
        while self._waiting:
            await asyncio.sleep(_GATHER_S)
            await self.flush()
