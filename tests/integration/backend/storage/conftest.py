from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from commander.backend.core import Core, open_core
from commander.clock import ManualClock


@pytest.fixture
async def core(tmp_path: Path) -> AsyncIterator[Core]:
    """An empty store on a real disk."""
    found = await open_core(tmp_path / "server.db", ManualClock())
    yield found
    await found.close()
