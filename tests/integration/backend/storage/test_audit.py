from __future__ import annotations

import pytest

from commander.audit.chain import EMPTY, ChainHead, ChainWriter, Entry
from commander.audit.events import LogHeadChanged
from commander.backend.core import Core
from commander.backend.storage import audit
from commander.crypto.signing import SigningKey
from commander.ids import new_uid
from tests.support.backend_server import changed

pytestmark = pytest.mark.integration


async def test_chain_ends_where_its_last_entry_is(core: Core) -> None:
    """Per producer, and empty for one that never wrote."""
    producer = new_uid()
    writer = ChainWriter(producer, SigningKey.generate())
    entries = [writer.seal(LogHeadChanged(n, bytes(32), 0, 0), time_ms=n) for n in range(3)]
    async with core.database.transaction() as transaction:
        await audit.add(transaction.connection, [])
        await audit.add(transaction.connection, entries)

    async with core.database.reading() as connection:
        assert await audit.head(connection, producer) == ChainHead.after(entries[-1])
        assert await audit.head(connection, new_uid()) == EMPTY
        assert await audit.entry(connection, producer, 2) == entries[1].to_bytes()
        assert await audit.entry(connection, producer, 4) is None


async def test_event_of_an_unknown_kind_is_kept(core: Core) -> None:
    """A newer gateway may write what this server cannot read."""
    producer = new_uid()
    writer = ChainWriter(producer, SigningKey.generate())
    entry: Entry = changed(
        writer.seal(LogHeadChanged(1, bytes(32), 0, 0), time_ms=1), kind="of-the-future"
    )
    async with core.database.transaction() as transaction:
        await audit.add(transaction.connection, [entry])

    async with core.database.reading() as connection:
        wanted = audit.Filter(kind="of-the-future")
        assert [raw for _, raw in await audit.read(connection, wanted, count=9)] == [
            entry.to_bytes()
        ]
