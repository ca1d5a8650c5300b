from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from commander.api.client import Api
from commander.clock import SystemClock
from commander.config.paths import Paths
from commander.launch.kept_login import resume_session
from commander.plugin.testing import FakeContext
from commander.vault.session import Vault
from tests.support.processes import Home
from tests.support.product import Product, User

DEADLINE_S = 30.0
CLOCK = SystemClock()


def context_of(home: Home) -> FakeContext:
    paths = Paths(home.commander, home.runtime / "commander")
    return FakeContext(paths=paths, clock=CLOCK)


@dataclass
class Ann:
    """The first administrator, with vault and client in this process."""

    product: Product
    user: User
    vault: Vault
    api: Api


@pytest.fixture
async def ann(product: Product) -> AsyncIterator[Ann]:
    await asyncio.to_thread(product.start_server)
    user = await asyncio.to_thread(product.set_up)
    session = await resume_session(context_of(user.home))
    yield Ann(product, user, session.vault, session.api)
    await session.api.close()
