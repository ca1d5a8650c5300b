"""The server's own keys and the digest of the set-up secret."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from commander.backend.storage.tables import changes, server

_ONLY = 1


@dataclass(frozen=True)
class StoredIdentity:
    """Private keys as stored; the file is 0600."""

    uid: str
    sign_key: bytes = field(repr=False)
    box_key: bytes = field(repr=False)
    ksm_key_id: int
    ksm_key: bytes = field(repr=False)
    setup_hash: bytes = field(repr=False)
    created: int


async def find(connection: AsyncConnection) -> StoredIdentity | None:
    """The identity, or None in a new store."""
    columns = [column for column in server.c if column.name != "id"]
    row = (await connection.execute(select(*columns))).first()
    return StoredIdentity(**row._mapping) if row else None


async def add(connection: AsyncConnection, identity: StoredIdentity) -> None:
    """Store the identity of a new server."""
    await connection.execute(insert(server).values(id=_ONLY, **vars(identity)))
    await connection.execute(insert(changes).values(id=_ONLY, cursor=0))


async def set_setup_hash(connection: AsyncConnection, digest: bytes) -> None:
    """Replace the digest of the set-up secret; empty when it was used."""
    await connection.execute(update(server).values(setup_hash=digest))


async def setup_hash(connection: AsyncConnection) -> bytes:
    """The digest that the set-up secret must have."""
    return bytes((await connection.execute(select(server.c.setup_hash))).scalar_one())
