"""Nonces of requests that wrote something, so that a restart does not make a replay new."""

from __future__ import annotations

from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from commander.authority.refusals import Code
from commander.backend.storage.tables import nonces
from commander.errors import Refused


async def claim(
    connection: AsyncConnection, principal: str, nonce: bytes, *, now: int, keep_s: int
) -> None:
    """Use a nonce up. Raises Refused(request-replayed) when it was used before."""
    await connection.execute(delete(nonces).where(nonces.c.expires < now))
    query = select(nonces.c.nonce).where(nonces.c.principal == principal, nonces.c.nonce == nonce)
    if (await connection.execute(query)).first() is not None:
        raise Refused("the request was carried out before", code=Code.REQUEST_REPLAYED)
    await connection.execute(
        insert(nonces).values(principal=principal, nonce=nonce, expires=now + keep_s)
    )
