"""Rows of attachments."""

from __future__ import annotations

import pytest

from commander.backend.core import Core
from commander.backend.storage import attachments, changes
from commander.backend.storage.attachments import StoredAttachment
from commander.ids import new_uid

pytestmark = pytest.mark.integration


def row(uid: str, record: str, created: int = 1) -> StoredAttachment:
    return StoredAttachment(uid, record, b"k", b"d", 7, uploaded=False, created=created)


async def test_attachments_live_with_their_record(core: Core) -> None:
    """Added, completed once, listed, removed by name or with the record."""
    one, other = new_uid(), new_uid()
    a, b, c, d = (new_uid() for _ in range(4))
    async with core.database.transaction() as transaction:
        connection = transaction.connection
        for new in (row(a, one, 2), row(b, one, 1), row(c, one, 3), row(d, other)):
            await attachments.add(connection, new)
        assert await attachments.uploaded(connection, a)
        assert not await attachments.uploaded(connection, a)
        assert await changes.cursor(connection) == 4
        assert not await attachments.uploaded(connection, new_uid())
        assert await attachments.count(connection, one) == 3
        found = await attachments.of_records(connection, [one, other])
        assert [item.uid for item in found[one]] == [b, a, c]
        assert await attachments.all_uploaded(connection) == {a}
        assert (await attachments.find(connection, a)) == StoredAttachment(
            a, one, b"k", b"d", 7, uploaded=True, created=2
        )
        assert await attachments.remove(connection, one, []) == []
        assert await attachments.remove(connection, other, [b]) == []
        assert await attachments.remove(connection, one, [b, new_uid()]) == [b]
        assert await attachments.abandon(connection, before=3) == [d]
        assert set(await attachments.remove_all(connection, one)) == {a, c}
        assert await attachments.find(connection, a) is None
