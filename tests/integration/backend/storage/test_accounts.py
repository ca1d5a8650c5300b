from __future__ import annotations

import pytest
from sqlalchemy.exc import IntegrityError

from commander.backend.core import Core
from commander.backend.storage import accounts
from commander.backend.storage.accounts import SessionCache, SessionRow
from commander.ids import new_uid
from commander.wire.calls import NewAccount, NewInvitation

pytestmark = pytest.mark.integration


def account(email: str) -> NewAccount:
    return NewAccount(email, new_uid(), bytes(32), b"dk", b"identity")


async def test_account_is_found_by_its_email_only(core: Core) -> None:
    """Exactly as written, and whatever the text holds."""
    ann = account("ann@example.org")
    async with core.database.transaction() as transaction:
        await accounts.add(transaction.connection, ann, now=7)

    async with core.database.reading() as connection:
        found = await accounts.by_email(connection, "ann@example.org")
        for other in ("Ann@example.org", "ann@example.orG", "%", "' OR ''='", ""):
            assert await accounts.by_email(connection, other) is None
    assert found is not None
    assert (found.user, found.wrapped_identity, found.created) == (ann.user, b"identity", 7)


async def test_second_account_of_an_email_does_not_fit(core: Core) -> None:
    """The store itself holds this border, whatever a service forgets."""

    async def add(email: str) -> None:
        async with core.database.transaction() as transaction:
            await accounts.add(transaction.connection, account(email), now=0)

    await add("ann@example.org")
    with pytest.raises(IntegrityError):
        await add("ann@example.org")
    await add("bob@example.org")


async def test_sessions_end_one_by_one_and_by_age(core: Core) -> None:
    """Old ones are swept; the others stay."""
    rows = [
        SessionRow(bytes([n]) * 32, new_uid(), new_uid(), bytes(32), created, used)
        for n, (created, used) in enumerate([(0, 100), (90, 95), (90, 100), (95, 100)])
    ]
    async with core.database.transaction() as transaction:
        for row in rows:
            await accounts.add_session(transaction.connection, row)
        await accounts.touch_session(transaction.connection, rows[1].digest, now=100)
        await accounts.end_session(transaction.connection, rows[2].digest)
        await accounts.end_old_sessions(transaction.connection, created_before=50, used_before=99)

    async with core.database.reading() as connection:
        found = [await accounts.session(connection, row.digest) for row in rows]
    assert [row is not None for row in found] == [False, True, False, True]


async def test_invitation_is_known_after_it_was_stored(core: Core) -> None:
    """By its voucher."""
    invitation = NewInvitation(new_uid(), "bob@example.org", 9)
    async with core.database.transaction() as transaction:
        assert not await accounts.has_invitation(transaction.connection, invitation.voucher)
        await accounts.add_invitation(transaction.connection, invitation, now=1)
        assert await accounts.has_invitation(transaction.connection, invitation.voucher)


def test_kept_sessions_end_when_they_end_and_none_read_before_comes_back() -> None:
    """A row that was read while its session ended is not kept; the memory is bounded."""
    cache = SessionCache(most=2)
    rows = [SessionRow(bytes([n]) * 32, new_uid(), new_uid(), bytes(32), 0, 0) for n in range(3)]
    for row in rows:
        cache.keep(row, ends=cache.ends)
    assert [cache.get(row.digest) is not None for row in rows] == [False, True, True]

    before = cache.ends
    cache.drop(rows[2].digest)
    cache.keep(rows[2], ends=before)

    assert cache.get(rows[2].digest) is None
    assert cache.get(rows[1].digest) == rows[1]
