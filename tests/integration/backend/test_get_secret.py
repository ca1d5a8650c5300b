"""What a Secrets Manager device gets, and what it does not."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from keeper_secrets_manager_core import SecretsManager  # type: ignore[import-untyped]
from keeper_secrets_manager_core.exceptions import KeeperError  # type: ignore[import-untyped]
from keeper_secrets_manager_core.storage import (  # type: ignore[import-untyped]
    InMemoryKeyValueStorage,
)

from commander.backend.services.get_secret import LARGE_BYTES, aside_when_large
from commander.crypto.encoding import to_base64url
from commander.ksm.keys import P256PrivateKey
from commander.wire.records import RecordData
from tests.support.backend_devices import (
    Application,
    Device,
    gateway_device,
    new_gateway,
)
from tests.support.backend_server import BackendServer

pytestmark = pytest.mark.integration


async def test_gateways_token_binds_no_secrets_manager_device(
    server: BackendServer, application: Application
) -> None:
    """Who has a gateway's token cannot get round the authority log by the SDK's bind."""
    candidate = await new_gateway(server, application)
    key = P256PrivateKey.generate()
    device = Device(server, candidate.token.client_id, key)

    assert (await device.ask(public_key=key.public))[0] == 403
    assert (await candidate.enrol()).app_key


async def test_revoked_gateway_reads_nothing(
    server: BackendServer, application: Application
) -> None:
    """After its revocation a gateway's Secrets Manager key and its native key are dead."""
    candidate = await new_gateway(server, application)
    await candidate.enrol()
    device = gateway_device(candidate)
    assert (await device.ask())[0] == 200
    vault = application.owner.vault
    await vault.sync()
    (gateway,) = await vault.applications.gateways()

    await vault.applications.remove_client(gateway.client_id)

    assert (await device.ask())[0] == 403


async def test_device_sees_shared_folders_only_and_filters_narrow(
    server: BackendServer, application: Application
) -> None:
    """Records of other folders stay out, unknown names give empty lists, unsharing ends it all."""
    vault = application.owner.vault
    await vault.create_record(RecordData.create("login", "Private"))
    token = await vault.applications.add_client(application.uid, "CI", ip_lock=False)
    key = P256PrivateKey.generate()
    device = Device(server, token.token.client_id, key)
    status, bound = await device.ask(public_key=key.public)
    assert status == 200
    assert token.token.open_app_key(bound.encrypted_app_key)

    _, everything = await device.ask()
    _, nothing = await device.ask(records=("AAAAAAAAAAAAAAAAAAAAAA",))
    _, one = await device.ask(records=(application.record,))
    await vault.applications.unshare_folder(application.uid, application.folder)
    _, after = await device.ask()

    assert [r.record_uid for f in everything.folders for r in f.records] == [application.record]
    assert nothing.folders == []
    assert len(one.folders[0].records) == 1
    assert after.folders == []


async def test_bind_is_repeated_for_the_same_key_and_refused_for_another(
    server: BackendServer, application: Application
) -> None:
    """A lost answer can be asked for again, until the device has read; another key never can."""
    vault = application.owner.vault
    token = await vault.applications.add_client(application.uid, "CI", ip_lock=False)
    key, other = P256PrivateKey.generate(), P256PrivateKey.generate()
    device = Device(server, token.token.client_id, key)
    _, first = await device.ask(public_key=key.public)
    _, again = await device.ask(public_key=key.public)

    thief = Device(server, token.token.client_id, other)
    status, _ = await thief.ask(public_key=other.public)

    assert status == 403
    assert first.encrypted_app_key == again.encrypted_app_key
    assert (await device.ask())[0] == 200
    assert (await device.ask(public_key=key.public))[0] == 403


async def test_access_of_a_device_ends_at_its_time(
    server: BackendServer, application: Application
) -> None:
    """A client with limited access reads until then."""
    vault = application.owner.vault
    token = await vault.applications.add_client(
        application.uid, "Audit", access_minutes=10, ip_lock=False
    )
    key = P256PrivateKey.generate()
    device = Device(server, token.token.client_id, key)
    await device.ask(public_key=key.public)
    before, answer = await device.ask()
    server.clock.advance(601)

    after, _ = await device.ask()

    assert (before, after) == (200, 403)
    assert answer.expires_on == int(server.clock.now() - 1) * 1000


async def test_official_sdk_binds_and_reads(
    server: BackendServer,
    application: Application,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The unmodified Python SDK, given our server key, reads the record; a second bind fails."""
    for name in [name for name in os.environ if name.startswith("KSM_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    vault = application.owner.vault
    token = await vault.applications.add_client(application.uid, "SDK", ip_lock=False)

    def read(storage: Any) -> list[Any]:
        manager = SecretsManager(
            token=token.token.text,
            hostname=server.known.address,
            config=storage,
            server_public_key=to_base64url(server.core.identity.ksm.public.raw),
            server_public_key_id=str(server.core.identity.ksm_key_id),
        )
        found: list[Any] = manager.get_secrets()
        return found

    (record,) = await asyncio.to_thread(read, InMemoryKeyValueStorage())

    assert record.title == "Orders DB"
    assert record.field("password", single=True) == "pass wörd"
    with pytest.raises(KeeperError):
        await asyncio.to_thread(read, InMemoryKeyValueStorage())


async def test_large_answers_are_computed_aside() -> None:
    """Ten thousand records keep nobody else waiting; a small answer is not worth a thread."""
    here = threading.get_ident()

    assert await aside_when_large(LARGE_BYTES, threading.get_ident) == here
    assert await aside_when_large(LARGE_BYTES + 1, threading.get_ident) != here
