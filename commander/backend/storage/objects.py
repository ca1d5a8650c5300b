"""
Records, PAM settings and folder names: objects with a chain of sealed revisions each.

The three have the same shape, so one class keeps them; `RECORDS`, `SETTINGS` and `FOLDERS` are
its instances.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from sqlalchemy import Table, and_, bindparam, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from commander.backend.storage import changes, tables
from commander.codec import decode, encode
from commander.wire.seals import FolderVersion, RecordVersion, SettingsVersion

_V = TypeVar("_V", RecordVersion, SettingsVersion, FolderVersion)
VERSION_LIMIT = 2 * 1024 * 1024
_BATCH = 500


@dataclass(frozen=True)
class Head:
    """The newest revision of an object, without its payload."""

    uid: str
    folder: str
    revision: int
    digest: bytes
    deleted: bool
    size: int
    change: int


@dataclass(frozen=True)
class NewRevision(Generic[_V]):
    """A checked revision to store."""

    uid: str
    folder: str
    revision: int
    deleted: bool
    version: _V


class ObjectStore(Generic[_V]):
    """One aggregate: heads and all their revisions."""

    def __init__(self, heads: Table, revisions: Table, kind: type[_V]) -> None:
        self._heads = heads
        self._revisions = revisions
        self._kind: type[_V] = kind

    async def heads(self, connection: AsyncConnection, uids: Collection[str]) -> dict[str, Head]:
        """The heads of those that exist."""
        found: dict[str, Head] = {}
        wanted = sorted(set(uids))
        for start in range(0, len(wanted), _BATCH):
            query = select(self._heads).where(self._heads.c.uid.in_(wanted[start : start + _BATCH]))
            for row in await connection.execute(query):
                found[row.uid] = _head(row)
        return found

    async def newest(self, connection: AsyncConnection, heads: Sequence[Head]) -> dict[str, _V]:
        """The newest revisions of objects whose heads were read before."""
        found: dict[str, _V] = {}
        for start in range(0, len(heads), _BATCH):
            uids = [head.uid for head in heads[start : start + _BATCH]]
            join = and_(
                self._heads.c.uid == self._revisions.c.uid,
                self._heads.c.revision == self._revisions.c.revision,
            )
            query = (
                select(self._revisions.c.uid, self._revisions.c.raw)
                .join(self._heads, join)
                .where(self._heads.c.uid.in_(uids))
            )
            for row in await connection.execute(query):
                found[row.uid] = self._read(row.raw)
        return found

    async def history(self, connection: AsyncConnection, uid: str, *, size: int) -> tuple[_V, ...]:
        """All revisions, oldest first; the oldest are left out past `size` bytes together."""
        query = (
            select(self._revisions.c.raw)
            .where(self._revisions.c.uid == uid)
            .order_by(self._revisions.c.revision.desc())
        )
        found: list[_V] = []
        for raw in (await connection.execute(query)).scalars():
            size -= len(raw)
            if size < 0:
                break
            found.append(self._read(raw))
        return tuple(reversed(found))

    async def changed(
        self,
        connection: AsyncConnection,
        folders: Sequence[str],
        *,
        since: int,
        until: int,
        count: int,
    ) -> list[Head]:
        """Heads of objects in these folders with a change in (since, until], in its order."""
        found: list[Head] = []
        for start in range(0, len(folders), _BATCH):
            query = (
                select(self._heads)
                .where(
                    self._heads.c.folder.in_(folders[start : start + _BATCH]),
                    self._heads.c.change > since,
                    self._heads.c.change <= until,
                )
                .order_by(self._heads.c.change)
                .limit(count)
            )
            found.extend(_head(row) for row in await connection.execute(query))
        return sorted(found, key=lambda head: head.change)[:count]

    async def changed_anywhere(
        self, connection: AsyncConnection, *, since: int, count: int
    ) -> list[Head]:
        """The first heads, of whatever folder, with a change after `since`, in its order."""
        query = (
            select(self._heads)
            .where(self._heads.c.change > since)
            .order_by(self._heads.c.change)
            .limit(count)
        )
        return [_head(row) for row in await connection.execute(query)]

    async def put(self, connection: AsyncConnection, added: Sequence[NewRevision[_V]]) -> None:
        """Store new revisions and make them the newest."""
        if not added:
            return
        numbers = await changes.reserve(connection, len(added))
        for new, change in zip(added, numbers, strict=True):
            raw = encode(new.version)
            values = {
                "folder": new.folder, "revision": new.revision, "deleted": new.deleted,
                "digest": new.version.seal.digest(), "size": len(raw), "change": change,
            }  # fmt: skip
            statement = upsert(self._heads).values(uid=new.uid, **values)
            await connection.execute(
                statement.on_conflict_do_update(index_elements=["uid"], set_=values)
            )
            await connection.execute(
                insert(self._revisions).values(uid=new.uid, revision=new.revision, raw=raw)
            )

    async def renew(self, connection: AsyncConnection, folder: str) -> None:
        """Let every object of a folder count as changed now: somebody new may see it."""
        query = select(self._heads.c.uid).where(self._heads.c.folder == folder)
        uids = list((await connection.execute(query)).scalars())
        if not uids:
            return
        numbers = await changes.reserve(connection, len(uids))
        statement = (
            update(self._heads)
            .where(self._heads.c.uid == bindparam("the_uid"))
            .values(change=bindparam("the_change"))
        )
        rows = [{"the_uid": u, "the_change": n} for u, n in zip(uids, numbers, strict=True)]
        await connection.execute(statement, rows)

    def _read(self, raw: bytes) -> _V:
        version: _V = decode(self._kind, raw, limit=VERSION_LIMIT)
        return version


def _head(row: object) -> Head:
    return Head(**row._mapping)  # type: ignore[attr-defined]  # a Row of the heads' columns


RECORDS = ObjectStore(tables.records, tables.record_revisions, RecordVersion)
SETTINGS = ObjectStore(tables.settings, tables.settings_revisions, SettingsVersion)
FOLDERS = ObjectStore(tables.folders, tables.folder_revisions, FolderVersion)
