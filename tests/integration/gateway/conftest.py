from __future__ import annotations

from pathlib import Path

import pytest

from commander.clock import ManualClock
from tests.support.gateway_world import World


@pytest.fixture
def clock() -> ManualClock:
    """The world's clock."""
    return ManualClock()


@pytest.fixture
def world(tmp_path: Path) -> World:
    """An enterprise with one gateway, one record, and a user who may use it."""
    return World(tmp_path)
