from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from commander.wire.records import RecordData
from tests.support.backend_devices import Application
from tests.support.backend_server import BackendServer, Person, running


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
