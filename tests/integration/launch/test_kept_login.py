from __future__ import annotations

import asyncio

import pytest

from commander.clock import SystemClock
from commander.config.paths import Paths
from commander.errors import NotLoggedIn
from commander.launch.kept_login import check_session, resume_session
from commander.plugin.testing import FakeContext
from tests.support.product import ADMINISTRATOR, Product

pytestmark = pytest.mark.integration


async def test_kept_login_is_resumed_checked_and_lost_by_logout(product: Product) -> None:
    """Another process goes on with the login until a third one logs out."""
    await asyncio.to_thread(product.start_server)
    ann = await asyncio.to_thread(product.set_up)
    paths = Paths(ann.home.commander, ann.home.runtime / "commander")
    context = FakeContext(paths=paths, clock=SystemClock())

    session = await resume_session(context)
    check_session(context)
    assert session.vault.email == ADMINISTRATOR
    assert session.vault.find_folder("Infrastructure").is_domain
    await session.api.close()
    await asyncio.to_thread(ann, "logout")

    with pytest.raises(NotLoggedIn):
        check_session(context)
    with pytest.raises(NotLoggedIn):
        await resume_session(context)
