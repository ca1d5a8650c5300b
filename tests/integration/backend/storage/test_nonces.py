from __future__ import annotations

import pytest

from commander.authority.refusals import Code
from commander.backend.core import Core
from commander.backend.storage import nonces
from commander.ids import new_uid
from tests.support.backend_server import refused

pytestmark = pytest.mark.integration


async def test_nonce_is_claimed_once_until_it_expires(core: Core) -> None:
    """Per principal."""
    bob, eve = new_uid(), new_uid()

    async def claim(principal: str, now: int) -> None:
        async with core.database.transaction() as transaction:
            await nonces.claim(transaction.connection, principal, b"n" * 16, now=now, keep_s=10)

    await claim(bob, 100)
    await claim(eve, 100)
    with refused(Code.REQUEST_REPLAYED):
        await claim(bob, 109)
    await claim(bob, 111)
