from __future__ import annotations

import pytest

from commander.backend.core import Core
from commander.backend.storage import changes

pytestmark = pytest.mark.integration


async def test_numbers_are_reserved_once_and_in_order(core: Core) -> None:
    """No two rows ever share one."""
    async with core.database.transaction() as transaction:
        first = await changes.reserve(transaction.connection, 3)
        second = await changes.reserve(transaction.connection, 2)
        assert await changes.cursor(transaction.connection) == 5

    assert (list(first), list(second)) == ([1, 2, 3], [4, 5])
