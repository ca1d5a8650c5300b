"""Applications: display data under the application's key, and the folder keys they have."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import select, update
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from commander.backend.storage import changes
from commander.backend.storage.tables import application_keys, applications
from commander.wire.calls import ApplicationFolderKey, ApplicationRow, NewApplication

_BATCH = 500


@dataclass(frozen=True)
class StoredApplication:
    """An application's own row."""

    application: str
    revision: int
    data: bytes
    change: int
    owner_key: bytes


async def find(connection: AsyncConnection, application: str) -> StoredApplication | None:
    """The row of an application."""
    query = select(applications).where(applications.c.application == application)
    row = (await connection.execute(query)).first()
    return StoredApplication(**row._mapping) if row else None


async def find_all(
    connection: AsyncConnection, wanted: Collection[str]
) -> dict[str, StoredApplication]:
    """The rows of these applications."""
    found: dict[str, StoredApplication] = {}
    for batch in _batches(wanted):
        query = select(applications).where(applications.c.application.in_(batch))
        for row in await connection.execute(query):
            found[row.application] = StoredApplication(**row._mapping)
    return found


async def put(connection: AsyncConnection, new: NewApplication) -> None:
    """Store display data; the owner's public key stays when a change names none."""
    (change,) = await changes.reserve(connection, 1)
    values: dict[str, object] = {"revision": new.revision, "data": new.data, "change": change}
    if new.owner_key:
        values["owner_key"] = new.owner_key
    statement = upsert(applications).values(application=new.application, **values)
    await connection.execute(
        statement.on_conflict_do_update(index_elements=["application"], set_=values)
    )


async def renew(connection: AsyncConnection, application: str) -> None:
    """Let an application count as changed now."""
    (change,) = await changes.reserve(connection, 1)
    await connection.execute(
        update(applications).where(applications.c.application == application).values(change=change)
    )


async def put_key(connection: AsyncConnection, key: ApplicationFolderKey) -> None:
    """Store a folder key for an application."""
    values = {"key": key.key}
    statement = upsert(application_keys).values(
        application=key.application, folder=key.folder, epoch=key.epoch, **values
    )
    await connection.execute(
        statement.on_conflict_do_update(
            index_elements=["application", "folder", "epoch"], set_=values
        )
    )
    await renew(connection, key.application)


async def keys_of(connection: AsyncConnection, application: str) -> list[ApplicationFolderKey]:
    """All folder keys of an application, by folder and epoch."""
    return (await keys_of_all(connection, [application])).get(application, [])


async def keys_of_all(
    connection: AsyncConnection, wanted: Collection[str]
) -> dict[str, list[ApplicationFolderKey]]:
    """All folder keys by application, each by folder and epoch."""
    found: dict[str, list[ApplicationFolderKey]] = {}
    for batch in _batches(wanted):
        query = (
            select(application_keys)
            .where(application_keys.c.application.in_(batch))
            .order_by(application_keys.c.folder, application_keys.c.epoch)
        )
        for row in await connection.execute(query):
            key = ApplicationFolderKey(**row._mapping)
            found.setdefault(key.application, []).append(key)
    return found


async def changed(
    connection: AsyncConnection, wanted: Collection[str], *, since: int, until: int, count: int
) -> list[StoredApplication]:
    """Those of the applications with a change in (since, until], in its order."""
    query = (
        select(applications)
        .where(
            applications.c.application.in_(sorted(wanted)),
            applications.c.change > since,
            applications.c.change <= until,
        )
        .order_by(applications.c.change)
        .limit(count)
    )
    return [StoredApplication(**row._mapping) for row in await connection.execute(query)]


async def row_of(connection: AsyncConnection, stored: StoredApplication) -> ApplicationRow:
    """The row as a client gets it."""
    keys = await keys_of(connection, stored.application)
    return ApplicationRow(
        stored.application, stored.data, tuple(keys), stored.owner_key, stored.revision
    )


def _batches(wanted: Collection[str]) -> list[list[str]]:
    ordered = sorted(wanted)
    return [ordered[start : start + _BATCH] for start in range(0, len(ordered), _BATCH)]
