"""Clients of applications: waiting for their one-time token, or bound to a P-256 key."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BindParameter, bindparam, case, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from commander.backend.storage.tables import clients
from commander.wire.calls import ClientRow, NewClient

_BATCH = 500


@dataclass(frozen=True)
class StoredClient:
    """A client; `public_key` empty while it waits for its token, times 0 for never."""

    client_id: str
    application: str
    kind: str
    voucher: str
    name: bytes
    app_key: bytes
    public_key: bytes
    created: int
    token_expires: int
    access_expires: int
    first_access: int
    last_access: int
    ip_lock: bool
    address: str

    @property
    def is_bound(self) -> bool:
        """Whether the token was used, or none was needed."""
        return self.public_key != b""

    def row(self) -> ClientRow:
        """What its owner sees of it."""
        return ClientRow(
            self.client_id, self.application, "gateway" if self.kind == "gateway" else "client",
            self.voucher, self.name, self.is_bound, self.created, self.token_expires,
            self.access_expires, self.first_access, self.last_access, self.ip_lock, self.address,
            self.public_key,
        )  # fmt: skip


@dataclass(frozen=True)
class Access:
    """That a client called, from where and when."""

    client_id: str
    address: str
    time: int


async def add(connection: AsyncConnection, client: NewClient, *, now: int) -> None:
    """Store a new client."""
    values = {name: getattr(client, name) for name in client.__struct_fields__}
    await connection.execute(
        insert(clients).values(**values, created=now, first_access=0, last_access=0, address="")
    )


async def find(connection: AsyncConnection, client_id: str) -> StoredClient | None:
    """The client with this id."""
    query = select(clients).where(clients.c.client_id == client_id)
    row = (await connection.execute(query)).first()
    return StoredClient(**row._mapping) if row else None


async def find_all(
    connection: AsyncConnection, client_ids: Collection[str]
) -> dict[str, StoredClient]:
    """The clients with these ids, by id."""
    found: dict[str, StoredClient] = {}
    wanted = sorted(client_ids)
    for start in range(0, len(wanted), _BATCH):
        query = select(clients).where(clients.c.client_id.in_(wanted[start : start + _BATCH]))
        for row in await connection.execute(query):
            found[row.client_id] = StoredClient(**row._mapping)
    return found


async def of_application(connection: AsyncConnection, application: str) -> list[StoredClient]:
    """All clients of an application, oldest first."""
    query = (
        select(clients)
        .where(clients.c.application == application)
        .order_by(clients.c.created, clients.c.client_id)
    )
    return [StoredClient(**row._mapping) for row in await connection.execute(query)]


async def remove(connection: AsyncConnection, client_id: str) -> None:
    """Forget a client; its id can be used by nobody again in practice, since a token makes it."""
    await connection.execute(delete(clients).where(clients.c.client_id == client_id))


async def lock_address(connection: AsyncConnection, client_id: str, address: str) -> None:
    """Remember the first address that showed a token."""
    await connection.execute(
        update(clients).where(clients.c.client_id == client_id).values(address=address)
    )


async def bind(
    connection: AsyncConnection, client_id: str, *, public_key: bytes, address: str, now: int
) -> bool:
    """Give a waiting client its key; False when it had one already."""
    done = await connection.execute(
        update(clients)
        .where(clients.c.client_id == client_id, clients.c.public_key == b"")
        .values(public_key=public_key, address=address, first_access=now, last_access=now)
    )
    return done.rowcount == 1


async def settle(connection: AsyncConnection, client_id: str, *, address: str, now: int) -> bool:
    """
    Note the first use of a client; the application key under the token is not needed any more.

    False when the client is locked to another address, or gone; then nothing was written.
    """
    done = await connection.execute(
        update(clients)
        .where(
            clients.c.client_id == client_id,
            ~clients.c.ip_lock | clients.c.address.in_(["", address]),
        )
        .values(app_key=b"", address=address, **_times(now))
    )
    return done.rowcount == 1


async def used(connection: AsyncConnection, accesses: Sequence[Access]) -> None:
    """Note accesses; clients that are gone meanwhile are passed over."""
    await connection.execute(
        update(clients)
        .where(clients.c.client_id == bindparam("who"))
        .values(address=bindparam("place"), **_times(bindparam("time"))),
        [{"who": one.client_id, "place": one.address, "time": one.time} for one in accesses],
    )


def _times(now: int | BindParameter[int]) -> dict[str, Any]:
    first = case((clients.c.first_access == 0, now), else_=clients.c.first_access)
    return {"first_access": first, "last_access": now}
