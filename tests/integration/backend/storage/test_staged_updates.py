"""Updates that wait to be completed."""

from __future__ import annotations

import pytest

from commander.backend.core import Core
from commander.backend.storage import staged_updates
from commander.ids import new_uid

pytestmark = pytest.mark.integration


async def test_each_client_has_one_for_a_record_until_it_ends(core: Core) -> None:
    """A second takes the place of the first; time removes it."""
    record = new_uid()
    async with core.database.transaction() as transaction:
        connection = transaction.connection
        await staged_updates.put(connection, record, "a", b"1", expires=10)
        await staged_updates.put(connection, record, "a", b"2", expires=10)
        await staged_updates.put(connection, record, "b", b"3", expires=20)

        assert await staged_updates.find(connection, record, "a", now=9) == b"2"
        assert await staged_updates.find(connection, record, "a", now=10) is None
        assert await staged_updates.find(connection, new_uid(), "a", now=9) is None
        assert await staged_updates.count(connection, "a") == 1
        await staged_updates.expire(connection, now=10)
        assert await staged_updates.count(connection, "a") == 0
        await staged_updates.remove(connection, record, "b")
        assert await staged_updates.find(connection, record, "b", now=0) is None
