"""Attachments of records: keys and descriptions; their bytes are files (`storage.files`)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from commander.backend.storage import changes
from commander.backend.storage.tables import attachments, records

_BATCH = 500


@dataclass(frozen=True)
class StoredAttachment:
    """One attachment; served only when it was `uploaded` whole."""

    uid: str
    record: str
    link_key: bytes
    data: bytes
    size: int
    uploaded: bool
    created: int


async def add(connection: AsyncConnection, new: StoredAttachment) -> None:
    """
    Store an attachment whose bytes are still to come.

    Its record counts as changed: what is kept ready for devices says whether there are any.
    """
    await connection.execute(insert(attachments).values(**vars(new)))
    (change,) = await changes.reserve(connection, 1)
    await connection.execute(
        update(records).where(records.c.uid == new.record).values(change=change)
    )


async def find(connection: AsyncConnection, uid: str) -> StoredAttachment | None:
    """One attachment."""
    query = select(attachments).where(attachments.c.uid == uid)
    row = (await connection.execute(query)).first()
    return StoredAttachment(**row._mapping) if row else None


async def of_records(
    connection: AsyncConnection, records: Collection[str]
) -> dict[str, list[StoredAttachment]]:
    """Attachments by record, oldest first."""
    found: dict[str, list[StoredAttachment]] = {}
    wanted = sorted(records)
    for start in range(0, len(wanted), _BATCH):
        query = (
            select(attachments)
            .where(attachments.c.record.in_(wanted[start : start + _BATCH]))
            .order_by(attachments.c.created, attachments.c.uid)
        )
        for row in await connection.execute(query):
            found.setdefault(row.record, []).append(StoredAttachment(**row._mapping))
    return found


async def count(connection: AsyncConnection, record: str) -> int:
    """How many attachments a record has."""
    query = select(func.count()).where(attachments.c.record == record)
    return int((await connection.execute(query)).scalar_one())


async def uploaded(connection: AsyncConnection, uid: str) -> bool:
    """Note that the bytes are on the disk; False when the attachment is gone or had them."""
    done = await connection.execute(
        update(attachments)
        .where(attachments.c.uid == uid, attachments.c.uploaded.is_(False))
        .values(uploaded=True)
    )
    return done.rowcount == 1


async def remove(connection: AsyncConnection, record: str, uids: Collection[str]) -> list[str]:
    """Forget these attachments of a record; returns those that were there."""
    if not uids:
        return []
    query = (
        delete(attachments)
        .where(attachments.c.record == record, attachments.c.uid.in_(sorted(uids)))
        .returning(attachments.c.uid)
    )
    return list((await connection.execute(query)).scalars())


async def remove_all(connection: AsyncConnection, record: str) -> list[str]:
    """Forget all attachments of a record; returns them."""
    query = delete(attachments).where(attachments.c.record == record)
    return list((await connection.execute(query.returning(attachments.c.uid))).scalars())


async def abandon(connection: AsyncConnection, *, before: int) -> list[str]:
    """Forget attachments made before a time whose bytes never came; returns them."""
    query = delete(attachments).where(
        attachments.c.uploaded.is_(False), attachments.c.created < before
    )
    return list((await connection.execute(query.returning(attachments.c.uid))).scalars())


async def all_uploaded(connection: AsyncConnection) -> set[str]:
    """Every attachment whose bytes must be on the disk."""
    query = select(attachments.c.uid).where(attachments.c.uploaded.is_(True))
    return set((await connection.execute(query)).scalars())
