"""A device's write while it is being checked and stored: the request becomes the seal."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from commander.audit.events import DeviceWrote
from commander.authority.decide import Action, Refuse, decide
from commander.authority.refusals import Code
from commander.authority.statements import client_uid
from commander.backend.core import Core
from commander.backend.services.devices import access
from commander.backend.storage import nonces
from commander.backend.storage.clients import StoredClient
from commander.backend.storage.database import Transaction
from commander.backend.storage.objects import FOLDERS, RECORDS, Head, NewRevision
from commander.codec import encode
from commander.crypto.kdf import sha256
from commander.errors import Refused
from commander.ids import ApplicationUid, DeviceUid, FolderUid, RecordUid
from commander.ksm.errors import DeviceRefused, ErrorCode
from commander.ksm.request import OpenedRequest
from commander.wire import seals
from commander.wire.device_writes import DeviceWrite
from commander.wire.seals import (
    FIRST_PREVIOUS,
    FolderSeal,
    FolderVersion,
    RecordSeal,
    RecordVersion,
    Signed,
)

# A request that named no revision is told from its replay for this long.
KEEP_REQUEST_S = 24 * 3600


@dataclass(frozen=True)
class DeviceCall:
    """A verified request of an admitted device."""

    client: StoredClient
    write: DeviceWrite
    address: str
    origin: str
    """The address under which the device reached this server, for URLs it is given."""


def device_write(client: StoredClient, opened: OpenedRequest) -> DeviceWrite:
    """What is kept of a verified request."""
    return DeviceWrite(
        application=ApplicationUid(client.application),
        client_id=client.client_id,
        device_key=client.public_key,
        wrapped_key=opened.wrapped_key,
        body=opened.body,
        signature=opened.signature,
        transmission_key=opened.transmission_key,
    )


@dataclass(frozen=True)
class Stored:
    """An object as it is now."""

    head: Head
    version: RecordVersion


class DeviceDraft:
    """One transaction for a device; make it with `begin`."""

    def __init__(self, core: Core, connection: AsyncConnection, call: DeviceCall) -> None:
        self.core = core
        self.connection = connection
        self.call = call
        self.state = core.state
        self.now = core.now()
        self.author = DeviceUid(client_uid(call.client.client_id))
        self.digest = call.write.digest()

    # --- what may be done ------------------------------------------------------------------------

    def need_edit(self, folder: str) -> None:
        """Raise DeviceRefused unless the application may edit in a folder."""
        decision = decide(
            self.state, self.call.client.application, Action.EDIT, folder, now=self.now
        )
        if isinstance(decision, Refuse):
            raise DeviceRefused(decision.reason, code=ErrorCode.ACCESS_DENIED)

    def may_view(self, folder: str) -> bool:
        """Whether the application sees a folder; what it does not see is not there for it."""
        return access.may(
            self.state, self.call.client.application, Action.VIEW, folder, now=self.now
        )

    async def claim(self) -> None:
        """Use the request up, where its content alone does not tell it from a replay."""
        try:
            await nonces.claim(
                self.connection,
                self.author,
                sha256(self.call.write.wrapped_key),
                now=self.now,
                keep_s=KEEP_REQUEST_S,
            )
        except Refused:
            raise DeviceRefused(
                "the request was carried out before", code=ErrorCode.ACCESS_DENIED
            ) from None

    # --- records ---------------------------------------------------------------------------------

    async def records(self, uids: Collection[str]) -> dict[str, Stored]:
        """Those of these records that the application sees, also deleted ones."""
        heads = await RECORDS.heads(self.connection, uids)
        seen = [head for head in heads.values() if self.may_view(head.folder)]
        versions = await RECORDS.newest(self.connection, seen)
        return {head.uid: Stored(head, versions[head.uid]) for head in seen}

    async def record(self, uid: str) -> Stored:
        """A record that the application sees. Raises DeviceRefused."""
        found = (await self.records([uid])).get(uid)
        if found is None or found.head.deleted:
            raise DeviceRefused(f"there is no record {uid}", code=ErrorCode.RECORD_NOT_FOUND)
        return found

    def is_done(self, version: RecordVersion | FolderVersion) -> bool:
        """Whether this very request made a version already: its answer was lost."""
        return version.seal.signature == self.digest

    async def put_record(
        self, before: Stored, payload: bytes, *, write: DeviceWrite | None = None
    ) -> None:
        """Store the next revision of a record; an empty payload deletes it."""
        seal = seals.read_record_seal(before.version.seal)
        after = RecordSeal(
            seal.record, seal.folder, seal.inner_folder, seal.revision + 1,
            before.version.seal.digest(), sha256(payload), b"", self.author, self.state.seq,
            max(self.now, 0), payload == b"",
        )  # fmt: skip
        version = self._seal_record(after, before.version.record_key, payload, write)
        await self._store_record(version, before.version)

    async def add_record(
        self, record: str, folder: str, inner_folder: str, record_key: bytes, payload: bytes
    ) -> None:
        """Store the first revision of a new record."""
        seal = RecordSeal(
            RecordUid(record), FolderUid(folder), inner_folder, 1, FIRST_PREVIOUS,
            sha256(payload), b"", self.author, self.state.seq, self.now, False,
        )  # fmt: skip
        await self._store_record(self._seal_record(seal, record_key, payload, None), None)

    def _seal_record(
        self, seal: RecordSeal, record_key: bytes, payload: bytes, write: DeviceWrite | None
    ) -> RecordVersion:
        write = write or self.call.write
        return RecordVersion(Signed(encode(seal), write.digest()), record_key, payload, write)

    async def _store_record(self, version: RecordVersion, before: RecordVersion | None) -> None:
        # Nothing is stored that the readers would refuse.
        seal = seals.verify_record(
            self.state,
            version,
            pinned=seals.read_record_seal(before.seal) if before else None,
            pinned_hash=before.seal.digest() if before else FIRST_PREVIOUS,
            device_keys={self.author: self.call.client.public_key},
        )
        new = NewRevision(seal.record, seal.folder, seal.revision, seal.deleted, version)
        await RECORDS.put(self.connection, [new])

    # --- folders ---------------------------------------------------------------------------------

    async def put_folder(
        self,
        folder: str,
        domain: str,
        payload: bytes,
        *,
        before: FolderVersion | None,
        origin: DeviceWrite | None = None,
        placed: bytes = b"",
    ) -> None:
        """Store the next revision of a folder's name; an empty payload deletes it."""
        revision = seals.read_folder_seal(before.seal).revision + 1 if before else 1
        previous = before.seal.digest() if before else FIRST_PREVIOUS
        seal = FolderSeal(
            FolderUid(folder), FolderUid(domain), revision, previous, sha256(payload),
            self.author, self.state.seq, self.now, payload == b"",
        )  # fmt: skip
        version = FolderVersion(
            Signed(encode(seal), self.digest), payload, self.call.write, origin, placed
        )
        seals.verify_folder(
            self.state,
            version,
            pinned=seals.read_folder_seal(before.seal) if before else None,
            pinned_hash=previous,
            device_keys={self.author: self.call.client.public_key},
        )
        new = NewRevision(folder, domain, revision, seal.deleted, version)
        await FOLDERS.put(self.connection, [new])

    # --- audit -----------------------------------------------------------------------------------

    async def note(self, what: str, *objects: str) -> None:
        """Record what the device did, to each of these objects."""
        client = self.call.client
        for uid in objects:
            event = DeviceWrote(what, self.author, client.application, uid, self.call.address)
            await self.core.record(self.connection, event)


@asynccontextmanager
async def begin(core: Core, call: DeviceCall) -> AsyncIterator[tuple[DeviceDraft, Transaction]]:
    """
    A transaction for a device that is still one; committed when the block ends without an error.

    Only a device that the log names may write: readers would believe no other. Devices leave the
    disk's last part to people.
    """
    if not core.files.has_room(0):
        raise DeviceRefused("the server's disk is too full", code=ErrorCode.SERVER_ERROR)
    async with core.database.transaction() as transaction:
        await access.still_there(transaction.connection, call.client)
        access.check_stated(core.state, call.client)
        draft = DeviceDraft(core, transaction.connection, call)
        if call.client.kind == "client" and core.state.clients.get(draft.author) is None:
            raise DeviceRefused(
                "this device was made before devices could write; make a new one",
                code=ErrorCode.ACCESS_DENIED,
            )
        try:
            yield draft, transaction
        except Refused as error:
            raise _for_device(error) from error


def _for_device(error: Refused) -> Refused:
    if isinstance(error, DeviceRefused) or error.code == Code.STORE_UNAVAILABLE:
        return error
    return DeviceRefused(error.message, code=ErrorCode.BAD_REQUEST)
