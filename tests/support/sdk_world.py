"""
A Secrets Manager device of an application on a `MemoryServer`: it signs, the server makes versions of it.

The server here does as a good one; tests make it evil by storing what it should not.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any

from commander.authority.statements import Right
from commander.clock import ManualClock
from commander.codec import encode
from commander.crypto import aead
from commander.crypto.kdf import sha256
from commander.ids import ApplicationUid, FolderUid, RecordUid, new_uid
from commander.ksm import ecies, folder_names
from commander.ksm.owner import owner_key
from commander.vault.session import Vault
from commander.wire.device_writes import DeviceWrite
from commander.wire.records import RecordData
from commander.wire.seals import (
    FIRST_PREVIOUS,
    FolderSeal,
    FolderVersion,
    RecordSeal,
    RecordVersion,
    Signed,
    read_folder_seal,
    read_record_seal,
)
from tests.support.device_writes import SdkDevice, b64
from tests.support.memory_server import MemoryServer
from tests.support.vaults import first_vault


def signed(seal: RecordSeal | FolderSeal, write: DeviceWrite) -> Signed:
    """A seal as the server fills it in for a device."""
    return Signed(encode(seal), write.digest())


@dataclass
class SdkWorld:
    """Ann's vault, a folder `Shared`, an application that may write there, and its device."""

    server: MemoryServer
    clock: ManualClock
    vault: Vault
    application: str
    folder: str
    device: SdkDevice

    @property
    def folder_key(self) -> bytes:
        """The shared folder's key, which the application has too."""
        return self.vault._replica.keys[("folder", self.folder)]

    # --- what the device signs ----------------------------------------------------------------

    def sign_create(
        self, record: str, key: bytes, data: RecordData, inner: str = ""
    ) -> DeviceWrite:
        """`create_secret`."""
        payload = self.device.create_secret(
            record,
            self.folder,
            folder_key=self.folder_key,
            record_key=key,
            data=aead.seal(key, data.serialize()),
            inner=inner,
        )
        return self.device.sign(**payload)

    def sign_update(self, record: str, revision: int, sealed: bytes, **more: Any) -> DeviceWrite:
        """`update_secret` after a revision."""
        return self.device.sign(recordUid=record, revision=revision, data=b64(sealed), **more)

    # --- what the server makes of it ----------------------------------------------------------

    def store_record(
        self,
        write: DeviceWrite,
        record: str,
        payload: bytes,
        *,
        record_key: bytes = b"",
        inner: str | None = None,
        deleted: bool = False,
    ) -> RecordVersion:
        """The next revision of a record, after the newest one stored."""
        kept = self.server.stored.records.setdefault(record, [])
        last = kept[-1][1] if kept else None
        before = read_record_seal(last.seal) if last else None
        state = self.server.state()
        seal = RecordSeal(
            RecordUid(record),
            FolderUid(before.folder if before else self.folder),
            inner if inner is not None else (before.inner_folder if before else ""),
            (before.revision if before else 0) + 1,
            last.seal.digest() if last else FIRST_PREVIOUS,
            sha256(payload),
            write.digest(),
            self.device.uid,
            state.seq,
            int(self.clock.now()),
            deleted,
        )
        wrapped = record_key or (last.record_key if last else b"")
        version = RecordVersion(signed(seal, write), wrapped, payload, write)
        self.server.stored.cursor += 1
        kept.append((self.server.stored.cursor, version))
        return version

    def store_folder(
        self,
        write: DeviceWrite,
        folder: str,
        payload: bytes,
        *,
        origin: DeviceWrite | None = None,
        deleted: bool = False,
    ) -> FolderVersion:
        """The next revision of a folder's name."""
        kept = self.server.stored.folders.setdefault(folder, [])
        last = kept[-1][1] if kept else None
        before = read_folder_seal(last.seal) if last else None
        seal = FolderSeal(
            FolderUid(folder),
            FolderUid(self.folder),
            (before.revision if before else 0) + 1,
            last.seal.digest() if last else FIRST_PREVIOUS,
            sha256(payload),
            self.device.uid,
            self.server.state().seq,
            int(self.clock.now()),
            deleted,
        )
        placed = b""
        if last is not None:
            origin = origin or last.origin
            placed = last.placed if last.write else last.payload
        version = FolderVersion(signed(seal, write), payload, write, origin, placed)
        self.server.stored.cursor += 1
        kept.append((self.server.stored.cursor, version))
        return version

    # --- both -----------------------------------------------------------------------------------

    def create(self, title: str, *, inner: str = "", **fields: str) -> str:
        """The device makes a record; its UID."""
        record, key = new_uid(), aead.new_key()
        data = RecordData.create("login", title)
        for name, value in fields.items():
            data.set_first(name, value)
        write = self.sign_create(record, key, data, inner)
        content = json.loads(aead.open_sealed(write.transmission_key, write.body))
        payload = aead_bytes(content["data"])
        self.store_record(
            write, record, payload, record_key=aead_bytes(content["folderKey"]), inner=inner
        )
        return record

    def update(self, record: str, **fields: str) -> RecordVersion:
        """The device reads a record as an SDK does, and writes it with other fields."""
        version = self.server.stored.records[record][-1][1]
        key = aead.open_sealed(self.folder_key, version.record_key)
        data = RecordData(json.loads(aead.open_sealed(key, version.payload)))
        for name, value in fields.items():
            data.set_first(name, value)
        sealed = aead.seal(key, data.serialize())
        revision = read_record_seal(version.seal).revision
        return self.store_record(self.sign_update(record, revision, sealed), record, sealed)

    def rename(self, folder: str, name: str) -> FolderVersion:
        """The device gives a sub-folder that the vault made another name."""
        payload = folder_names.seal_name(self.folder_key_of(folder), name)
        write = self.device.sign(folderUid=folder, data=b64(payload))
        return self.store_folder(write, folder, payload)

    def folder_key_of(self, folder: str) -> bytes:
        """The key of a sub-folder of ours in the form SDKs read."""
        return folder_names.sub_folder_key(self.folder_key, folder)

    def add_file(self, record: str, revision: int | None = None) -> RecordVersion:
        """The device attaches a file, telling the revision or not."""
        version = self.server.stored.records[record][-1][1]
        key = aead.open_sealed(self.folder_key, version.record_key)
        data = RecordData(json.loads(aead.open_sealed(key, version.payload)))
        file, file_key = new_uid(), aead.new_key()
        data.set_first("fileRef", file)
        sealed = aead.seal(key, data.serialize())
        write = self.device.sign(
            fileRecordUid=file,
            fileRecordKey=b64(wrap_to_owner(self.device, file_key)),
            fileRecordData=b64(aead.seal(file_key, b'{"name":"a"}')),
            ownerRecordUid=record,
            ownerRecordData=b64(sealed),
            ownerRecordRevision=revision,
            linkKey=b64(aead.seal(key, file_key)),
            fileSize=100,
        )
        return self.store_record(write, record, sealed)


def wrap_to_owner(device: SdkDevice, key: bytes) -> bytes:
    """A key wrapped to the owner the device knows."""
    return ecies.seal(device.owner.public, key)


def aead_bytes(text: str) -> bytes:
    """Base64 of a payload."""
    return base64.b64decode(text)


async def make_sdk_world(*, confirmed: bool = False) -> SdkWorld:
    """A device with a token of Ann's application, which may write in `Shared`."""
    clock = ManualClock()
    server = MemoryServer(clock)
    vault = await first_vault(server, clock)
    application = await vault.applications.create("CI")
    folder = await vault.create_shared_folder("Shared")
    await vault.applications.share_folder(application.uid, folder.uid, (Right.VIEW, Right.EDIT))
    token = await vault.applications.add_client(application.uid, "build")
    device = SdkDevice(
        ApplicationUid(application.uid), token=token.token, owner=owner_key(application.key)
    )
    if confirmed:
        statement = device.statement()
        await vault.commit(lambda draft: draft.state(statement))
    return SdkWorld(server, clock, vault, application.uid, folder.uid, device)
