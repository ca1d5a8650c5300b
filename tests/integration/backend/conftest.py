from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.backend_server import BackendServer, Person, running


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[BackendServer]:
    tmp_path.chmod(0o700)
    async with running(tmp_path) as found:
        yield found


@pytest.fixture
async def admin(server: BackendServer) -> Person:
    return await server.set_up()
