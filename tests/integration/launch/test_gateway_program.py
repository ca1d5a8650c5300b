"""Real server, real gateway program, real relay: a client of ours opens a tunnel to a real target."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from commander.api.bootstrap import connector, learn_server, open_transport
from commander.api.client import Api, Caller
from commander.audit.chain import Entry
from commander.clock import SystemClock
from commander.config.paths import Paths
from commander.errors import CommanderError
from commander.hosting.conversation import Position, TunnelRequest
from commander.hosting.host import Hosting, Link, StartOptions
from commander.vault.device import new_device
from commander.vault.enrolment import first_commit, root_of
from commander.vault.opening import tunnel_seed
from commander.vault.session import Vault
from commander.wire import calls
from commander.wire.commands import TunnelParameters
from commander.wire.join import Join, read_join, write_join
from commander.wire.pam import ConfigurationSettings, ResourceSettings, TunnelSettings
from commander.wire.records import RecordData
from tests.support.processes import Child
from tests.support.product import Product
from tests.support.vaults import candidate
from tests.support.waiting import NeverHappened

pytestmark = pytest.mark.integration


@dataclass
class Chain:
    """An administrator with a vault, an application, and the join string of a gateway."""

    product: Product
    api: Api
    vault: Vault
    folder: str
    application: str
    join: Path
    hosting: Hosting

    async def start_gateway(self, name: str = "gateway") -> Child:
        """Start (or enrol and start) the program."""
        return await asyncio.to_thread(self.product.start_gateway, name, join=self.join)

    async def protect(self, port: int) -> str:
        """Put a record for a local port under the gateway; its UID."""
        await self.vault.refresh(max_age_s=0)
        gateway = next(iter(self.vault.state.gateways.values())).gateway
        settings = ConfigurationSettings(gateway, tunneling="on")
        configuration = await self.vault.create_record(
            RecordData.create("pamNetworkConfiguration", "Net"), self.folder, settings=settings
        )
        data = RecordData.create("pamDatabase", "Orders")
        data.set_first("pamHostname", {"hostName": "127.0.0.1", "port": str(port)})
        record = await self.vault.create_record(
            data,
            self.folder,
            settings=ResourceSettings(
                configuration=configuration.uid, tunnel=TunnelSettings(enabled=True)
            ),
        )
        return record.uid

    async def open_tunnel(self, uid: str, *, path: str = "auto") -> int:
        """Start a tunnel; its local port."""
        await self.vault.refresh(max_age_s=0)
        record = self.vault.get_record(uid)
        gateway = next(iter(self.vault.state.gateways.values()))
        request = TunnelRequest(
            record=uid,
            title="Orders",
            record_revision=record.revision,
            settings_revision=self.vault.settings_revision(uid),
            remote="",
            gateway=gateway.gateway,
            gateway_sign_key=gateway.sign_key,
            gateway_box_key=gateway.box_key,
            device=self.vault.device,
            user=self.vault.user,
            device_key=self.vault.login.device.signing_key(),
            tunnel_seed=tunnel_seed(record.key),
            parameters=TunnelParameters("", 0, "", ""),
        )
        tunnel = await self.hosting.start(request, StartOptions(path=path, new=True))
        return tunnel.info().local_port


@pytest.fixture
async def chain(tmp_path: Path) -> AsyncIterator[Chain]:
    """Server, account, application; no gateway yet."""
    tmp_path.chmod(0o700)
    clock = SystemClock()
    product = Product(tmp_path)
    with product:
        await asyncio.to_thread(product.start_server)
        join = read_join(product.setup_join, "setup")
        server, _ = await learn_server(join.server, connector({}), fingerprint=join.ca)
        account = candidate("ann@example.org", with_root=True)
        root = root_of(account)
        device = new_device(
            server, root=root, email=account.email, user=account.user,
            account_secret=account.secret.raw, name="laptop",
        )  # fmt: skip
        commit = first_commit(account, device, name="Example", now=clock.now())
        api = Api(open_transport(server, {}), server, clock=clock)
        request = calls.SetupRequest(join.secret, account.account(), commit)
        answer = await api.call(calls.SETUP, request)
        api.caller = Caller(device.device, answer.session, device.signing_key())
        login = account.unlocked(device, session=answer.session, expires=answer.expires)
        vault = await Vault.open(login, api, clock=clock)
        folder = await vault.create_shared_folder("Databases")
        application = await vault.applications.create("Orders")
        await vault.applications.share_folder(application.uid, folder.uid)
        token = await vault.applications.add_gateway(application.uid, "Gateway")
        file = tmp_path / "join.txt"
        text = write_join(Join("gateway", server.address, token.token.raw(), root, join.ca))
        file.touch(mode=0o600)
        file.write_text(text)
        hosting = Hosting(
            Paths(tmp_path / "client", tmp_path / "client-run"), clock, notify=lambda line: None
        )
        position = lambda: Position(vault.state.seq, vault.state.head)  # noqa: E731  a port of one line
        hosting.use(Link(api, {}, position, "test"))
        try:
            yield Chain(product, api, vault, folder.uid, application.uid, file, hosting)
        finally:
            await hosting.close_all("end of test")
            await api.close()


@contextlib.asynccontextmanager
async def echo_server() -> AsyncIterator[int]:
    """A target that sends back what it gets; its port."""

    writers: list[asyncio.StreamWriter] = []

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            await hang_up(writer)


async def hang_up(writer: asyncio.StreamWriter) -> None:
    """Close a connection that may have been reset."""
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def talk(port: int, data: bytes) -> bytes:
    """Send through a local port and read as much back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        async with asyncio.timeout(30):
            return await reader.readexactly(len(data))
    finally:
        await hang_up(writer)


async def test_from_join_string_to_bytes_at_the_target(chain: Chain) -> None:
    """Enrol, go online, open a tunnel through the relay, and carry data."""
    await chain.start_gateway()
    rows = (await chain.api.call(calls.GATEWAYS, calls.Empty())).gateways
    assert [row.online for row in rows] == [True]
    async with echo_server() as target:
        uid = await chain.protect(target)
        port = await chain.open_tunnel(uid)
        data = os.urandom(300_000)

        assert await talk(port, data) == data

        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"x")
        await reader.readexactly(1)
        await chain.vault.applications.unshare_folder(chain.application, chain.folder)
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(), 20)
        await hang_up(writer)

    async with asyncio.timeout(30):
        while not {"tunnel-intent", "tunnel-killed", "tunnel-outcome"} <= await audited(chain):
            await asyncio.sleep(0.05)


async def audited(chain: Chain) -> set[str]:
    """Kinds of events in the server's audit log."""
    asked = calls.AuditRead(0, 0, 0, "", "", "", "", 0)
    answer = await chain.api.call(calls.AUDIT_READ, asked)
    return {Entry.parse(raw).kind for _, raw in answer.events}


async def test_a_server_restart_costs_no_new_tunnel_for_long(chain: Chain) -> None:
    """The gateway comes back by itself, and the next tunnel works."""
    gateway = await chain.start_gateway()
    async with echo_server() as target:
        uid = await chain.protect(target)
        assert chain.product.server is not None
        await asyncio.to_thread(chain.product.server.stop)
        await asyncio.to_thread(gateway.wait_for_line, r"^gateway \S+ offline")
        seen = len(gateway.lines)

        await asyncio.to_thread(chain.product.start_server)
        async with asyncio.timeout(30):
            while not any("online" in line for line in gateway.lines[seen:]):
                await asyncio.sleep(0.05)

        port = await chain.open_tunnel(uid)
        assert await talk(port, b"again") == b"again"


async def test_a_token_enrols_once(chain: Chain) -> None:
    """A second machine with the same join string is refused, the first goes on."""
    first = await chain.start_gateway()

    with pytest.raises(NeverHappened, match="token-used"):
        await chain.start_gateway("second")

    assert first.is_running


async def test_a_copied_configuration_is_fenced(chain: Chain) -> None:
    """The newer process takes over, the older one ends with code 7 and says why."""
    first = await chain.start_gateway()
    source = chain.product.directory / "gateway" / ".commander" / "gateway-config.json"
    copied = chain.product.directory / "copy" / ".commander" / "gateway-config.json"
    copied.parent.mkdir(mode=0o700, parents=True)
    copied.parent.parent.chmod(0o700)
    copied.touch(mode=0o600)
    copied.write_bytes(source.read_bytes())

    second = await chain.start_gateway("copy")

    assert await asyncio.to_thread(first.wait) == 7
    assert "fenced" in first.output
    assert second.is_running


async def test_a_gateway_stops_in_order(chain: Chain) -> None:
    """SIGTERM ends live tunnels with a reason, writes their outcome, and exits 0."""
    gateway = await chain.start_gateway()
    async with echo_server() as target:
        port = await chain.open_tunnel(await chain.protect(target))
        assert await talk(port, b"x") == b"x"

        status = await asyncio.to_thread(gateway.stop)

    assert status == 0
    assert "stopped" in gateway.output
    with pytest.raises(CommanderError):
        await chain.open_tunnel(next(iter(chain.vault.view.records)))


async def test_kill_9_leaves_an_unknown_outcome(chain: Chain) -> None:
    """After a crash the next start writes what is not known, and serves again."""
    gateway = await chain.start_gateway()
    async with echo_server() as target:
        uid = await chain.protect(target)
        port = await chain.open_tunnel(uid)
        assert await talk(port, b"x") == b"x"
        await asyncio.to_thread(gateway.kill)

        again = await chain.start_gateway()

        assert "1 tunnels had no outcome" in again.output
        assert await talk(await chain.open_tunnel(uid), b"y") == b"y"


async def test_a_removed_gateway_ends(chain: Chain) -> None:
    """Revoking it closes its tunnels at once, and its process ends with code 4."""
    gateway = await chain.start_gateway()
    async with echo_server() as target:
        port = await chain.open_tunnel(await chain.protect(target))
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"x")
        await reader.readexactly(1)
        row = (await chain.vault.applications.clients(chain.application))[0].row

        await chain.vault.applications.remove_client(row.client_id)

        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(), 20)
        await hang_up(writer)
    assert await asyncio.to_thread(gateway.wait) == 4
    assert "was removed" in gateway.output
