"""Updates that devices have begun and not completed."""

from __future__ import annotations

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from commander.backend.storage.tables import staged_updates


async def put(
    connection: AsyncConnection, record: str, client_id: str, raw: bytes, *, expires: int
) -> None:
    """Keep a client's update of a record in place of one it began before."""
    values = {"raw": raw, "expires": expires}
    statement = upsert(staged_updates).values(record=record, client_id=client_id, **values)
    await connection.execute(
        statement.on_conflict_do_update(index_elements=["record", "client_id"], set_=values)
    )


async def find(
    connection: AsyncConnection, record: str, client_id: str, *, now: int
) -> bytes | None:
    """A client's update of a record that still waits."""
    query = select(staged_updates.c.raw).where(
        staged_updates.c.record == record,
        staged_updates.c.client_id == client_id,
        staged_updates.c.expires > now,
    )
    raw = (await connection.execute(query)).scalar_one_or_none()
    return None if raw is None else bytes(raw)


async def remove(connection: AsyncConnection, record: str, client_id: str) -> None:
    """Forget a client's update of a record."""
    await connection.execute(
        delete(staged_updates).where(
            staged_updates.c.record == record, staged_updates.c.client_id == client_id
        )
    )


async def expire(connection: AsyncConnection, *, now: int) -> None:
    """Forget what nobody completed in time."""
    await connection.execute(delete(staged_updates).where(staged_updates.c.expires <= now))


async def count(connection: AsyncConnection, client_id: str) -> int:
    """How many updates of a client wait."""
    query = select(func.count()).where(staged_updates.c.client_id == client_id)
    return int((await connection.execute(query)).scalar_one())
