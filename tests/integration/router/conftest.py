from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.router_server import RouterServer, router_server


@pytest.fixture
async def server() -> AsyncIterator[RouterServer]:
    """A router on port 0."""
    async with router_server() as running:
        yield running
