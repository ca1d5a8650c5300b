"""Accounts and sessions."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from commander.backend.storage.tables import accounts, invitations, sessions
from commander.wire.calls import NewAccount, NewInvitation


@dataclass(frozen=True)
class Account:
    """What is kept of an account."""

    user: str
    email: str
    login_key: bytes
    wrapped_data_key: bytes
    wrapped_identity: bytes
    created: int


@dataclass(frozen=True)
class SessionRow:
    """A session; only the digest of its secret name is kept."""

    digest: bytes
    user: str
    device: str
    device_key: bytes
    created: int
    last_used: int


class SessionCache:
    """
    Sessions that were read lately, so that most requests need no look into the store.

    A session is dropped when its end is committed; `ends` counts those, so that a row read
    before an end is not kept after it.
    """

    def __init__(self, *, most: int = 20_000) -> None:
        self._most = most
        self._rows: OrderedDict[bytes, SessionRow] = OrderedDict()
        self.ends = 0

    def get(self, digest: bytes) -> SessionRow | None:
        """The row, when it is kept."""
        return self._rows.get(digest)

    def keep(self, row: SessionRow, *, ends: int) -> None:
        """Keep a row that was read, or begun to be read, when `ends` was this."""
        if ends != self.ends:
            return
        self._rows.pop(row.digest, None)
        self._rows[row.digest] = row
        while len(self._rows) > self._most:
            self._rows.popitem(last=False)

    def drop(self, digest: bytes) -> None:
        """Forget a session that ended."""
        self.ends += 1
        self._rows.pop(digest, None)


async def add(connection: AsyncConnection, account: NewAccount, *, now: int) -> None:
    """Store a new account."""
    values = {name: getattr(account, name) for name in account.__struct_fields__}
    await connection.execute(insert(accounts).values(**values, created=now))


async def by_email(connection: AsyncConnection, email: str) -> Account | None:
    """The account of an e-mail in normal form."""
    row = (await connection.execute(select(accounts).where(accounts.c.email == email))).first()
    return Account(**row._mapping) if row else None


async def add_session(connection: AsyncConnection, session: SessionRow) -> None:
    """Store a session."""
    await connection.execute(insert(sessions).values(**vars(session)))


async def session(connection: AsyncConnection, digest: bytes) -> SessionRow | None:
    """The session with this digest."""
    row = (await connection.execute(select(sessions).where(sessions.c.digest == digest))).first()
    return SessionRow(**row._mapping) if row else None


async def touch_session(connection: AsyncConnection, digest: bytes, *, now: int) -> None:
    """Note that a session was used."""
    await connection.execute(
        update(sessions).where(sessions.c.digest == digest).values(last_used=now)
    )


async def end_session(connection: AsyncConnection, digest: bytes) -> None:
    """Forget a session."""
    await connection.execute(delete(sessions).where(sessions.c.digest == digest))


async def end_old_sessions(
    connection: AsyncConnection, *, created_before: int, used_before: int
) -> None:
    """Forget sessions that are over anyway."""
    await connection.execute(
        delete(sessions).where(
            (sessions.c.created < created_before) | (sessions.c.last_used < used_before)
        )
    )


async def add_invitation(
    connection: AsyncConnection, invitation: NewInvitation, *, now: int
) -> None:
    """Store an invitation."""
    await connection.execute(
        insert(invitations).values(
            voucher=invitation.voucher, email=invitation.email, expires=invitation.expires,
            created=now,
        )
    )  # fmt: skip


async def has_invitation(connection: AsyncConnection, voucher: str) -> bool:
    """Tell whether an invitation was stored."""
    query = select(invitations.c.voucher).where(invitations.c.voucher == voucher)
    return (await connection.execute(query)).first() is not None
