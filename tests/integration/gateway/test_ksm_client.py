"""Reading records from a real backend as the gateway does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from commander.backend import tls
from commander.errors import CommanderError, Unreachable
from commander.gateway.ksm_client import SecretsManagerClient
from commander.gateway.records import Sealed, take_apart
from commander.ksm.config import DeviceConfig
from commander.ksm.errors import DeviceRefused
from commander.ksm.keys import P256PrivateKey
from commander.ksm.payloads import GetSecretRequest
from commander.wire.records import RecordData
from tests.support.backend_devices import Application, Enrolling, new_gateway
from tests.support.backend_server import BackendServer, running

pytestmark = pytest.mark.integration


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[BackendServer]:
    """A backend."""
    tmp_path.chmod(0o700)
    async with running(tmp_path) as found:
        yield found


@pytest.fixture
async def application(server: BackendServer) -> Application:
    """An application with one folder and one record."""
    owner = await server.set_up()
    folder = await owner.vault.create_shared_folder("Databases")
    record = await owner.vault.create_record(RecordData.create("login", "Orders"), folder.uid)
    made = await owner.vault.applications.create("Orders")
    await owner.vault.applications.share_folder(made.uid, folder.uid)
    return Application(owner, made.uid, folder.uid, record.uid)


def client_of(
    server: BackendServer,
    enrolling: Enrolling,
    *,
    key: P256PrivateKey | None = None,
    server_key: P256PrivateKey | None = None,
    ca: str | None = None,
    address: str = "",
) -> SecretsManagerClient:
    """A client with the gateway's keys, or with others."""
    core = server.core
    device = DeviceConfig(
        hostname=address or server.known.address,
        client_id=enrolling.token.client_id,
        server_key_id=core.identity.ksm_key_id,
        server_public_key=(server_key or core.identity.ksm).public,
        private_key=key or enrolling.keys.ksm,
        app_key=bytes(32),
    )
    return SecretsManagerClient(device, ca=server.known.ca if ca is None else ca)


async def test_records_come_with_their_seals(
    server: BackendServer, application: Application
) -> None:
    """What the backend serves is what the gateway proves and opens."""
    enrolling = await new_gateway(server, application)
    answer = await enrolling.enrol()
    client = client_of(server, enrolling)
    question = GetSecretRequest(
        enrolling.token.client_id, records=(application.record,), seals=True
    )

    found = await client.get_secret(question)

    parts = take_apart(found, enrolling.token.open_app_key(answer.app_key))
    assert isinstance(parts[application.record], Sealed)
    await client.close()
    await client.close()


async def test_each_failure_has_its_type(server: BackendServer, application: Application) -> None:
    """Refused by the server, unreachable, untrusted: the caller can tell them apart."""
    enrolling = await new_gateway(server, application)
    await enrolling.enrol()
    question = GetSecretRequest(enrolling.token.client_id)
    failures: list[tuple[SecretsManagerClient, type[CommanderError]]] = [
        (client_of(server, enrolling, key=P256PrivateKey.generate()), DeviceRefused),
        (client_of(server, enrolling, server_key=P256PrivateKey.generate()), DeviceRefused),
        (client_of(server, enrolling, ca=""), Unreachable),
    ]

    for client, kind in failures:
        with pytest.raises(kind):
            await client.get_secret(question)
        await client.close()

    client = client_of(server, enrolling)
    assert (await client.get_secret(question)).folders
    await client.close()


async def test_a_connection_that_breaks_is_asked_once_more(
    server: BackendServer, application: Application, tmp_path: Path
) -> None:
    """A server that was restarted between two questions costs nobody a tunnel; one that is ill is told."""
    enrolling = await new_gateway(server, application)
    context = tls.server_context(tmp_path / "tls.pem", tmp_path / "tls.key")
    asked: list[bytes] = []

    async def give_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.close()

    async with await asyncio.start_server(give_up, "127.0.0.1", 0, ssl=context) as listening:
        port = listening.sockets[0].getsockname()[1]
        client = client_of(server, enrolling, address=f"127.0.0.1:{port}")
        with pytest.raises(Unreachable, match="did not answer"):
            await client.get_secret(GetSecretRequest(enrolling.token.client_id))
        await client.close()

    # A server takes no request twice: the second one has a key of its own.
    assert len(set(asked)) == 2
