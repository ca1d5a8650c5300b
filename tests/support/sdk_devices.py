"""A real server with an application whose folder devices may edit, for official SDKs."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from commander.authority.statements import Right
from commander.crypto import aead
from commander.crypto.encoding import to_base64url
from commander.ids import ApplicationUid, new_uid
from commander.ksm import folder_names
from commander.ksm.config import DeviceConfig
from commander.ksm.keys import P256PrivateKey, P256PublicKey
from commander.ksm.owner import owner_key
from commander.ksm.request import PATH_PREFIX, OutgoingRequest, build_request
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

    async def titles(self) -> set[str]:
        """Titles and folder names that the owner's vault shows after a sync without a problem."""
        assert await self.vault.sync() == []
        folders = {folder.name for folder in self.vault.view.folders.values()}
        return folders | {record.data.title for record in self.vault.view.records.values()}

    async def token(self, *, minutes: int = 60, access_minutes: int = 0) -> OneTimeToken:
        """A one-time token of a new client."""
        made = await self.vault.applications.add_client(
            self.application, "SDK", minutes=minutes, access_minutes=access_minutes, ip_lock=False
        )
        return made.token

    async def device(self) -> RawDevice:
        """A new, bound device."""
        config = await self.config()
        return RawDevice(self, config.client_id, config.private_key)

    @property
    def folder_key(self) -> bytes:
        """The key of the shared folder."""
        key = self.vault._replica.folder_key(self.folder)
        assert key is not None
        return key

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
    key = owner.vault._replica.folder_key(folder)
    assert key is not None
    name = folder_names.seal_name(key, owner.vault.view.folders[folder].name)
    copy = calls.FolderCopy(folder, folder, "", b"", name)
    await owner.api.call(calls.COMMIT, calls.Commit(folder_copies=(copy,)))


@dataclass
class RawDevice:
    """A device that says exactly what a test wants."""

    world: SdkWorld
    client_id: bytes
    key: P256PrivateKey

    def request(self, payload: bytes) -> OutgoingRequest:
        """A signed request; it may be sent more than once."""
        identity = self.world.server.core.identity
        return build_request(identity.ksm.public, identity.ksm_key_id, self.key, payload)

    def payload(self, **content: Any) -> bytes:
        """A payload with this device's client id."""
        return json.dumps({"clientId": b64(self.client_id), **content}).encode()

    async def call(self, endpoint: str, **content: Any) -> tuple[int, Any]:
        """Status and opened answer (JSON, or b"" for an empty one)."""
        return await self.send(endpoint, self.request(self.payload(**content)))

    async def send(self, endpoint: str, request: OutgoingRequest) -> tuple[int, Any]:
        """Send a request as it is."""
        client = self.world.server.http()
        try:
            response = await client.post(
                PATH_PREFIX + endpoint, content=request.body, headers=request.headers
            )
        finally:
            await client.aclose()
        if response.status_code != 200:
            return response.status_code, response.json()
        opened = request.open_answer(response.content)
        return 200, json.loads(opened) if opened else b""

    async def newest(self) -> dict[str, Any]:
        """What `get_secret` says of the world's record."""
        _, answer = await self.call("get_secret", requestedRecords=[self.world.record])
        found: dict[str, Any] = answer["folders"][0]["records"][0]
        return found

    def new_secret(self, folder: str = "", **more: Any) -> dict[str, Any]:
        """The payload of a `create_secret` with fresh keys."""
        _, wrapped = new_record_key(self.world.folder_key)
        return {
            "recordUid": new_uid(), "recordKey": b64(bytes(125)), "data": b64(bytes(64)),
            "folderUid": folder or self.world.folder, "folderKey": b64(wrapped), **more,
        }  # fmt: skip

    def new_folder(self, name: str = "Inner", parent: str = "", **more: Any) -> dict[str, Any]:
        """The payload of a `create_folder`."""
        key = aead.new_key()
        return {
            "folderUid": new_uid(), "sharedFolderUid": self.world.folder, "parentUid": parent or None,
            "sharedFolderKey": b64(folder_names.seal_key(self.world.folder_key, key)),
            "data": b64(folder_names.seal_name(key, name)), **more,
        }  # fmt: skip

    def new_file(self, revision: int | None, size: int = 100, **more: Any) -> dict[str, Any]:
        """The payload of an `add_file` to the world's record."""
        return {
            "fileRecordUid": new_uid(), "fileRecordKey": b64(bytes(125)), "linkKey": b64(bytes(60)),
            "fileRecordData": b64(bytes(40)), "ownerRecordUid": self.world.record,
            "ownerRecordData": b64(bytes(64)), "ownerRecordRevision": revision, "fileSize": size,
            **more,
        }  # fmt: skip

    async def update(self, revision: int, data: bytes = bytes(64), **more: Any) -> tuple[int, Any]:
        """`update_secret` of the world's record."""
        return await self.call(
            "update_secret", recordUid=self.world.record, data=b64(data), revision=revision, **more
        )


async def upload(world: SdkWorld, url: str, content: bytes) -> int:
    """Put bytes where `add_file` said, as SDKs do; the status."""
    client = world.server.http()
    try:
        response = await client.post(path_of(url), data={"version": "1"}, files={"file": content})
    finally:
        await client.aclose()
    return response.status_code


async def download(world: SdkWorld, url: str) -> tuple[int, bytes]:
    """Get an attachment."""
    client = world.server.http()
    try:
        response = await client.get(path_of(url))
    finally:
        await client.aclose()
    return response.status_code, response.content


def path_of(url: str) -> str:
    """The path of an address."""
    return "/" + url.split("/", 3)[3]


def b64(raw: bytes) -> str:
    """Standard base64."""
    return base64.b64encode(raw).decode()


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
