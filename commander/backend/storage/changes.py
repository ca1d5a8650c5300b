"""The global cursor: a number that grows with everything a client may want to know."""

from __future__ import annotations

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from commander.backend.storage.tables import changes


async def cursor(connection: AsyncConnection) -> int:
    """Where the cursor is now."""
    return int((await connection.execute(select(changes.c.cursor))).scalar_one())


async def reserve(connection: AsyncConnection, count: int) -> range:
    """Take the next `count` numbers for rows that change in this transaction."""
    statement = update(changes).values(cursor=changes.c.cursor + count).returning(changes.c.cursor)
    last = int((await connection.execute(statement)).scalar_one())
    return range(last - count + 1, last + 1)
