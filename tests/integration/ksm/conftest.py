from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from commander.authority.statements import Right
from tests.support.backend_server import running
from tests.support.sdk_devices import SdkWorld, build_world, sdk_environment


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[SdkWorld]:
    """A real server, and a folder that an application's devices may edit."""
    tmp_path.chmod(0o700)
    async with running(tmp_path) as server:
        owner = await server.set_up()
        with sdk_environment(tmp_path / "ca.pem"):
            yield await build_world(server, owner, tmp_path, rights=(Right.VIEW, Right.EDIT))
