"""A server process that is killed at any moment loses nothing that it acknowledged."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from commander.api.client import Api, Caller
from commander.api.http import HttpTransport
from commander.api.tls import verified_context
from commander.backend.core import open_core
from commander.clock import ManualClock, SystemClock
from commander.crypto.signing import SigningKey
from commander.errors import CommanderError
from commander.vault.enrolment import first_commit, root_of
from commander.vault.session import Vault
from commander.wire import calls
from commander.wire.join import read_join
from commander.wire.known_server import KnownServer
from commander.wire.records import RecordData
from tests.support.backend_server import BackendServer, running
from tests.support.vaults import candidate
from tests.support.waiting import free_port

pytestmark = pytest.mark.integration

KILLS = 8


class Process:
    """`commander-server start` as a child."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.address = f"127.0.0.1:{free_port()}"  # kept while it is down
        self.join = ""

    async def start(self) -> None:
        self.child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "commander.launch.server", "start", "--data", str(self.data),
            "--listen", self.address, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert self.child.stdout is not None
        while True:
            line = (await asyncio.wait_for(self.child.stdout.readline(), 60)).decode()
            assert line, "the server ended"
            if "join1." in line:
                self.join = line.split()[-1]
            if line.startswith("listening on https://"):
                self.address = line.strip().removeprefix("listening on https://")
                return

    async def kill(self) -> None:
        self.child.send_signal(signal.SIGKILL)
        await self.child.wait()


@asynccontextmanager
async def process(data: Path) -> AsyncIterator[Process]:
    found = Process(data)
    await found.start()
    try:
        yield found
    finally:
        if found.child.returncode is None:
            await found.kill()


async def first_vault(server: Process) -> tuple[Vault, Api]:
    """Set up with the printed join string."""
    join = read_join(server.join, "setup")
    ca = (server.data / "ca.pem").read_text()
    core = await open_core(server.data / "server.db", SystemClock())
    keys = core.identity
    await core.close()
    known = KnownServer(server.address, keys.uid, keys.sign.public.raw, keys.box.public.raw, ca)
    account = candidate("ann@example.org", with_root=True)
    helper = BackendServer(core, ManualClock(), known)
    device = helper.device_for(account, root_of(account))
    clock = SystemClock()
    commit = first_commit(account, device, name="Example", now=clock.now())
    transport = HttpTransport(known.address, verified_context(ca))
    api = Api(transport, known, clock=clock)
    answer = await api.call(calls.SETUP, calls.SetupRequest(join.secret, account.account(), commit))
    key: SigningKey = device.signing_key()
    api.caller = Caller(device.device, answer.session, key)
    login = account.unlocked(device, session=answer.session, expires=answer.expires)
    return await Vault.open(login, api, clock=clock), api


async def write_until_dead(vault: Vault, stored: set[str]) -> None:
    """Create records until the server does not answer any more."""
    while True:
        try:
            record = await vault.create_record(RecordData.create("login", "x"))
        except CommanderError:
            return
        stored.add(record.uid)


async def test_kill_at_any_moment_loses_no_acknowledged_write(tmp_path: Path) -> None:
    """Killed again and again while it writes, the server starts by itself and has it all."""
    rng = random.Random(7)
    async with process(tmp_path / "data") as server:
        vault, api = await first_vault(server)
        stored: set[str] = set()
        for _ in range(KILLS):
            writer = asyncio.ensure_future(write_until_dead(vault, stored))
            moment = len(stored) + rng.randint(1, 25)
            while len(stored) < moment and not writer.done():
                await asyncio.sleep(0)
            for _ in range(rng.randint(0, 200)):
                await asyncio.sleep(0)
            await server.kill()
            await asyncio.wait_for(writer, 60)
            await server.start()

        problems = await vault.sync(everything=True)
        found = {record.uid for record in vault.view.records.values()}
        await api.close()

    assert not problems
    assert stored <= found
    assert len(found - stored) <= KILLS


async def test_state_after_a_restart_is_the_state_before(tmp_path: Path) -> None:
    """Log, sessions and keys come back from the store."""
    tmp_path.chmod(0o700)
    async with running(tmp_path) as server:
        admin = await server.set_up()
        await admin.vault.create_shared_folder("F")
        head, keys = server.core.ledger.head(), server.core.identity

    async with running(tmp_path) as again:
        assert again.core.ledger.head() == head
        assert again.core.identity.uid == keys.uid
        assert again.core.identity.box.public.raw == keys.box.public.raw
        person = again.person(admin.account, admin.device, admin.session, admin.expires)
        assert (await person.call(calls.SESSION, calls.Empty())).user == admin.user
