"""A real server with an application whose folder devices may edit, for official SDKs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from commander.authority.statements import Right
from commander.crypto import aead
from commander.crypto.encoding import to_base64url
from commander.ids import ApplicationUid
from commander.ksm import folder_names
from commander.ksm.config import DeviceConfig
from commander.ksm.keys import P256PrivateKey, P256PublicKey
from commander.ksm.owner import owner_key
from commander.ksm.token import OneTimeToken
from commander.vault.applications import BoundClient, text_client_id
from commander.vault.session import Vault
from commander.wire import calls
from commander.wire.records import RecordData
from tests.support.backend_server import BackendServer, Person


@dataclass
class SdkWorld:
    """Server, owner, application, its folder with one record, and configurations for devices."""

    server: BackendServer
    owner: Person
    application: ApplicationUid
    folder: str
    record: str
    ca_file: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def vault(self) -> Vault:
        """The owner's vault."""
        return self.owner.vault

    @property
    def app_key(self) -> bytes:
        """The application's key."""
        return self.vault.application_key(self.application)

    @property
    def server_key(self) -> str:
        """The server's key as SDKs take it."""
        return to_base64url(self.server.core.identity.ksm.public.raw)

    @property
    def hostname(self) -> str:
        """Name and port."""
        return self.server.known.address

    async def token(self, **values: int | bool) -> OneTimeToken:
        """A one-time token of a new client."""
        made = await self.vault.applications.add_client(
            self.application, "SDK", ip_lock=False, **values
        )  # type: ignore[misc]  # numbers and flags of add_client
        return made.token

    async def config(self) -> DeviceConfig:
        """The configuration of a new, bound client."""
        token, key = OneTimeToken.generate(), P256PrivateKey.generate()
        bound = BoundClient("SDK", text_client_id(token), key.public.raw)
        await self.vault.applications.add_bound_clients(self.application, [bound])
        identity = self.server.core.identity
        return DeviceConfig(
            hostname=self.hostname,
            client_id=token.client_id,
            server_key_id=identity.ksm_key_id,
            server_public_key=P256PublicKey(identity.ksm.public.raw),
            private_key=key,
            app_key=self.app_key,
            app_owner_public_key=owner_key(self.app_key).public,
        )


async def build_world(
    server: BackendServer, owner: Person, directory: Path, *, rights: tuple[Right, ...]
) -> SdkWorld:
    """A folder with one record, shared with a new application."""
    vault = owner.vault
    folder = await vault.create_shared_folder("Databases")
    data = RecordData.create("login", "Orders DB")
    data.set_first("login", "orders")
    data.set_first("password", "pass wörd")
    record = await vault.create_record(data, folder.uid)
    made = await vault.applications.create("Orders")
    await vault.applications.share_folder(made.uid, folder.uid, rights)
    await copy_folder(owner, folder.uid)
    return SdkWorld(server, owner, made.uid, folder.uid, record.uid, directory / "ca.pem")


async def copy_folder(owner: Person, folder: str) -> None:
    """Write the form that SDKs read of a shared folder's name."""
    key = owner.vault.replica.folder_key(folder)
    assert key is not None
    name = folder_names.seal_name(key, owner.vault.view.folders[folder].name)
    copy = calls.FolderCopy(folder, folder, "", b"", name)
    await owner.api.call(calls.COMMIT, calls.Commit(folder_copies=(copy,)))


def new_record_key(folder_key: bytes) -> tuple[bytes, bytes]:
    """A record key, and the same under a folder's key."""
    key = aead.new_key()
    return key, aead.seal(folder_key, key)


@contextmanager
def sdk_environment(ca_file: Path) -> Iterator[None]:
    """Let `requests` trust the server, and no setting of this machine reach an SDK."""
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith("KSM_")]:
        del os.environ[name]
    os.environ["REQUESTS_CA_BUNDLE"] = str(ca_file)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
