from __future__ import annotations

import pytest

from commander.authority.log import replay
from commander.backend.core import Core
from commander.backend.storage import statements
from commander.codec import encode
from tests.support.enterprise import Enterprise

pytestmark = pytest.mark.integration


async def test_log_comes_back_as_it_was_and_in_pieces(core: Core) -> None:
    """By position, count and size; the first is never skipped over."""
    acme = Enterprise()
    async with core.database.transaction() as transaction:
        await statements.append(transaction.connection, [])
        await statements.append(transaction.connection, acme.statements)

    async with core.database.reading() as connection:
        whole = [found async for found in statements.everything(connection)]
        tail = await statements.after(connection, 1, count=2, size=10**6)
        two = sum(len(encode(s)) for s in acme.statements[:2])
        small = await statements.after(connection, -1, count=99, size=two)
    assert whole == acme.statements
    assert replay(whole).head == acme.state.head
    assert [found.seq for found in tail] == [2, 3]
    assert [found.seq for found in small] == [0, 1]
