from __future__ import annotations

import pytest

from tests.support.command_world import World, make_world


@pytest.fixture
async def world() -> World:
    """The administrator of a new server."""
    return await make_world()
