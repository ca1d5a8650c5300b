"""The authority log as stored: one row a statement, in the bytes that travel."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from commander.authority.statements import STATEMENT_LIMIT, Statement
from commander.backend.storage.tables import statements
from commander.codec import decode, encode


async def append(connection: AsyncConnection, added: Sequence[Statement]) -> None:
    """Store statements that the state has taken."""
    rows = []
    for statement in added:
        raw = encode(statement)
        rows.append(
            {"seq": statement.seq, "digest": statement.digest(), "size": len(raw), "raw": raw}
        )
    if rows:
        await connection.execute(insert(statements), rows)


async def after(
    connection: AsyncConnection, seq: int, *, count: int, size: int
) -> tuple[Statement, ...]:
    """Statements after a position: at most `count`, and none past `size` bytes together."""
    query = (
        select(statements.c.raw)
        .where(statements.c.seq > seq)
        .order_by(statements.c.seq)
        .limit(count)
    )
    found: list[Statement] = []
    for raw in (await connection.execute(query)).scalars():
        size -= len(raw)
        if size < 0:
            break
        found.append(decode(Statement, raw, limit=STATEMENT_LIMIT))
    return tuple(found)


async def everything(connection: AsyncConnection) -> AsyncIterator[Statement]:
    """The whole log in order."""
    query = select(statements.c.raw).order_by(statements.c.seq)
    async with connection.stream(query) as rows:
        async for row in rows:
            yield decode(Statement, row.raw, limit=STATEMENT_LIMIT)
