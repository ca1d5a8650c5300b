"""Folders in the form Secrets Manager SDKs read, beside their sealed form."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import delete, select
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from commander.backend.storage.tables import folder_copies
from commander.wire.calls import FolderCopy


async def put(connection: AsyncConnection, copy: FolderCopy) -> None:
    """Store a folder's copy in place of the one before."""
    values = {"domain": copy.domain, "parent": copy.parent, "key": copy.key, "data": copy.data}
    statement = upsert(folder_copies).values(folder=copy.folder, **values)
    await connection.execute(
        statement.on_conflict_do_update(index_elements=["folder"], set_=values)
    )


async def find(connection: AsyncConnection, folder: str) -> FolderCopy | None:
    """The copy of one folder."""
    query = select(folder_copies).where(folder_copies.c.folder == folder)
    row = (await connection.execute(query)).first()
    return FolderCopy(**row._mapping) if row else None


async def of_domains(connection: AsyncConnection, domains: Collection[str]) -> list[FolderCopy]:
    """All copies of these domain folders and of what is in them."""
    query = (
        select(folder_copies)
        .where(folder_copies.c.domain.in_(sorted(domains)))
        .order_by(folder_copies.c.folder)
    )
    return [FolderCopy(**row._mapping) for row in await connection.execute(query)]


async def remove(connection: AsyncConnection, folders: Collection[str]) -> None:
    """Forget the copies of folders that are gone."""
    await connection.execute(
        delete(folder_copies).where(folder_copies.c.folder.in_(sorted(folders)))
    )
