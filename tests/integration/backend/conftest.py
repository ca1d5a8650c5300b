from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from commander.authority.statements import Right
from commander.wire.records import RecordData
from tests.support.backend_devices import Application
from tests.support.backend_server import BackendServer, Person, running
from tests.support.sdk_devices import RawDevice, SdkWorld, build_world


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[BackendServer]:
    tmp_path.chmod(0o700)
    async with running(tmp_path) as found:
        yield found


@pytest.fixture
async def admin(server: BackendServer) -> Person:
    return await server.set_up()


@pytest.fixture
async def application(admin: Person) -> Application:
    vault = admin.vault
    folder = await vault.create_shared_folder("Databases")
    data = RecordData.create("login", "Orders DB")
    data.set_first("password", "pass wörd")
    record = await vault.create_record(data, folder.uid)
    made = await vault.applications.create("Orders")
    await vault.applications.share_folder(made.uid, folder.uid)
    return Application(admin, made.uid, folder.uid, record.uid)


@pytest.fixture
async def world(server: BackendServer, admin: Person, tmp_path: Path) -> SdkWorld:
    """A folder that an application's devices may edit."""
    return await build_world(server, admin, tmp_path, rights=(Right.VIEW, Right.EDIT))


@pytest.fixture
async def device(world: SdkWorld) -> RawDevice:
    """A bound device of that application."""
    return await world.device()
