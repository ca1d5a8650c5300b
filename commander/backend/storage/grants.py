"""Key grants, and shares that begin later."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, delete, select, update
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from commander.backend.storage import changes
from commander.backend.storage.tables import grants, later_shares
from commander.codec import decode, encode
from commander.wire.seals import GrantSeal, KeyGrant

_LIMIT = 16 * 1024


@dataclass(frozen=True)
class StoredGrant:
    """A grant and what it is about."""

    kind: str
    object: str
    size: int
    change: int
    raw: bytes

    def grant(self) -> KeyGrant:
        """The grant itself."""
        return decode(KeyGrant, self.raw, limit=_LIMIT)


async def put(connection: AsyncConnection, seal: GrantSeal, grant: KeyGrant) -> None:
    """Store a grant; one of the same granter for the same key and recipient is replaced."""
    raw = encode(grant)
    (change,) = await changes.reserve(connection, 1)
    key = {
        "kind": seal.kind, "object": seal.object, "epoch": seal.epoch,
        "recipient": seal.recipient, "granter": seal.granter,
    }  # fmt: skip
    values = {"change": change, "size": len(raw), "raw": raw}
    statement = upsert(grants).values(**key, **values)
    await connection.execute(statement.on_conflict_do_update(index_elements=list(key), set_=values))


async def changed(
    connection: AsyncConnection,
    recipient: str,
    objects_seen: Collection[str],
    *,
    since: int,
    until: int,
    count: int,
) -> list[StoredGrant]:
    """Grants to a user for these objects with a change in (since, until], in its order."""
    query = (
        select(grants.c.kind, grants.c.object, grants.c.size, grants.c.change, grants.c.raw)
        .where(
            grants.c.recipient == recipient,
            grants.c.object.in_(sorted(objects_seen)),
            grants.c.change > since,
            grants.c.change <= until,
        )
        .order_by(grants.c.change)
        .limit(count)
    )
    return [StoredGrant(**row._mapping) for row in await connection.execute(query)]


async def objects(connection: AsyncConnection, recipient: str, kind: str) -> set[str]:
    """What a user was ever granted a key of."""
    query = select(grants.c.object).where(grants.c.recipient == recipient, grants.c.kind == kind)
    return set((await connection.execute(query)).scalars())


async def renew(connection: AsyncConnection, folder: str, recipient: str) -> None:
    """Let a user's grants of a folder count as changed now."""
    mine = (grants.c.kind == "folder", grants.c.object == folder, grants.c.recipient == recipient)
    query = select(grants.c.epoch, grants.c.granter).where(*mine)
    found = list(await connection.execute(query))
    if not found:
        return
    numbers = await changes.reserve(connection, len(found))
    statement = (
        update(grants)
        .where(
            *mine,
            grants.c.epoch == bindparam("the_epoch"),
            grants.c.granter == bindparam("the_granter"),
        )
        .values(change=bindparam("the_change"))
    )
    rows = [
        {"the_epoch": row.epoch, "the_granter": row.granter, "the_change": number}
        for row, number in zip(found, numbers, strict=True)
    ]
    await connection.execute(statement, rows)


async def share_later(connection: AsyncConnection, folder: str, user: str, begins: int) -> None:
    """Remember that a share begins later."""
    statement = upsert(later_shares).values(folder=folder, user=user, begins=begins)
    await connection.execute(
        statement.on_conflict_do_update(index_elements=["folder", "user"], set_={"begins": begins})
    )


async def due_shares(connection: AsyncConnection, user: str, *, now: int) -> Sequence[str]:
    """Folders whose share with a user has begun since it was made."""
    query = select(later_shares.c.folder).where(
        later_shares.c.user == user, later_shares.c.begins <= now
    )
    return list((await connection.execute(query)).scalars())


async def share_begun(connection: AsyncConnection, folder: str, user: str) -> None:
    """Forget that a share was to begin."""
    await connection.execute(
        delete(later_shares).where(later_shares.c.folder == folder, later_shares.c.user == user)
    )
