"""`get_secret` of the Secrets Manager device API: bind a device by its token, and let it read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TypeVar

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from commander.audit.events import Enrolled, TokenRefused
from commander.authority.refusals import Code
from commander.backend.core import Core
from commander.backend.services.devices import access
from commander.backend.services.devices.add_file import address_of
from commander.backend.services.devices.tickets import Direction
from commander.backend.storage import clients
from commander.backend.storage.attachments import StoredAttachment
from commander.backend.storage.clients import StoredClient
from commander.backend.storage.device_shelf import Frame, Records
from commander.backend.storage.objects import RECORDS, SETTINGS, Head
from commander.codec import encode
from commander.crypto.kdf import sha256
from commander.errors import NotFound, Refused, SealBroken
from commander.ksm.errors import DeviceRefused, ErrorCode
from commander.ksm.keys import P256PublicKey
from commander.ksm.payloads import (
    MAX_RECORDS,
    File,
    Folder,
    GetSecretRequest,
    GetSecretResponse,
    Record,
    RecordSeals,
    RenderedFolder,
)
from commander.ksm.request import OpenedRequest
from commander.wire.seals import RecordVersion, SettingsVersion, read_record_seal

ANSWER_BYTES = 40 * 1024 * 1024
LARGE_BYTES = 1024 * 1024
_NEWEST = 2**62
_T = TypeVar("_T")


async def get_secret(core: Core, opened: OpenedRequest, *, address: str, origin: str) -> bytes:
    """
    Verify the device and return the payload of its answer.

    `origin` begins the addresses of attachments. Raises InvalidInput for a bad form, SealBroken,
    NotFound and Refused for a device that may not read, Refused(too-many-requests),
    Refused(store-unavailable).
    """
    asked = GetSecretRequest.parse(opened.payload)
    client = await access.find(core, asked.client_id)
    if asked.public_key is not None:
        opened.verify_signature(asked.public_key)
        client = await _bind(core, client, asked.public_key, address)
    else:
        if not client.is_bound:
            raise SealBroken
        opened.verify_signature(P256PublicKey(client.public_key))
        await access.check_use(core, client, address)
    if asked.seals:
        return await _answer_with_seals(core, client, asked)
    return await _answer(core, client, asked, origin)


async def _bind(core: Core, client: StoredClient, key: P256PublicKey, address: str) -> StoredClient:
    """Give the device its key, once; the same key again gets the same answer until it is used."""
    if client.is_bound and client.public_key == key.raw and client.app_key:
        await access.check_use(core, client, address, binds=True)
        return client
    try:
        async with core.database.transaction() as transaction:
            fresh = await clients.find(transaction.connection, client.client_id)
            _check_token(core, fresh)
            bound = await clients.bind(
                transaction.connection,
                client.client_id,
                public_key=key.raw,
                address=address,
                now=core.now(),
            )
            assert bound
            event = Enrolled("client", "", client.application, "", "", address)
            await core.record(transaction.connection, event)
    except Refused as error:
        if error.code in (Code.TOKEN_USED, Code.TOKEN_EXPIRED):
            fingerprint = sha256(client.client_id.encode())
            await core.note(
                TokenRefused(error.code, "client", fingerprint, client.application, address)
            )
        raise
    return client


def _check_token(core: Core, client: StoredClient | None) -> None:
    if client is None:
        raise NotFound("unknown client")
    if client.is_bound:
        raise Refused("the one-time token was used before", code=Code.TOKEN_USED)
    if core.now() >= client.token_expires:
        raise Refused("the one-time token is too old", code=Code.TOKEN_EXPIRED)


async def _answer(core: Core, client: StoredClient, asked: GetSecretRequest, origin: str) -> bytes:
    visible = access.visible_folders(core.state, client.application, now=core.now())
    frame = await core.shelf.frame(client.application)
    wanted = _wanted(visible, frame.keys, asked)
    shelved = await core.shelf.folders(wanted)
    if asked.records:
        shelved = {folder: _only(shelved[folder], asked.records) for folder in wanted}
    size = sum(len(one.rendered) for part in shelved.values() for one in part.values())
    if size > ANSWER_BYTES:
        raise _too_large()
    files = await _files(core, shelved, client, origin)
    response = _response(frame, client, asked)

    def write() -> bytes:
        folders = [
            RenderedFolder(
                folder,
                frame.keys[folder],
                visible[folder],
                [
                    one.rendered.for_device(
                        is_editable=visible[folder], files=files.get(uid), has_links=asked.links
                    )
                    for uid, one in shelved[folder].items()
                ],
            )
            for folder in wanted
            if shelved[folder] or not asked.records
        ]
        return response.to_payload(folders)

    return await aside_when_large(size, write)


async def aside_when_large(size: int, work: Callable[[], _T]) -> _T:
    """
    What `work` makes of `size` bytes; in a thread when they are many.

    An application of 10,000 records takes 100 ms of computing, which nobody else should wait for.
    """
    return await asyncio.to_thread(work) if size > LARGE_BYTES else work()


def _response(frame: Frame, client: StoredClient, asked: GetSecretRequest) -> GetSecretResponse:
    """The answer without folders."""
    binds = asked.public_key is not None
    stored = frame.stored
    owner_key = stored.owner_key if stored else b""
    return GetSecretResponse.make(
        folders=[],
        records=[],
        app_data=stored.data if stored else None,
        encrypted_app_key=client.app_key if binds else None,
        app_owner_public_key=owner_key if binds and owner_key else None,
        expires_on=client.access_expires * 1000,
    )


def _wanted(
    visible: Mapping[str, bool], keys: Mapping[str, bytes], asked: GetSecretRequest
) -> list[str]:
    wanted = set(visible) & set(keys)
    if asked.folders:
        wanted &= set(asked.folders)
    return sorted(wanted)


def _only(records: Records, wanted: tuple[str, ...]) -> Records:
    return {uid: records[uid] for uid in dict.fromkeys(wanted) if uid in records}


async def _files(
    core: Core,
    shelved: Mapping[str, Records],
    client: StoredClient,
    origin: str,
) -> dict[str, list[File]]:
    """Attachments by record, each with an address for this client once its bytes are there."""
    having = [uid for part in shelved.values() for uid, one in part.items() if one.has_files]

    def file(one: StoredAttachment) -> File:
        url = None
        if one.uploaded:
            url = address_of(core, origin, Direction.DOWNLOAD, one.uid, client.client_id)
        return File(one.uid, one.link_key, one.data, url)

    found = await core.shelf.files(having)
    return {uid: [file(one) for one in some] for uid, some in found.items()}


def _too_large() -> DeviceRefused:
    return DeviceRefused(
        f"the answer would have more than {ANSWER_BYTES // 2**20} MiB; ask for records or folders by UID",
        code=ErrorCode.BAD_REQUEST,
    )


# --- with seals, for our own gateways ------------------------------------------------------------


async def _answer_with_seals(core: Core, client: StoredClient, asked: GetSecretRequest) -> bytes:
    visible = access.visible_folders(core.state, client.application, now=core.now())
    frame = await core.shelf.frame(client.application)
    wanted = _wanted(visible, frame.keys, asked)
    async with core.database.reading() as connection:
        records = await _sealed_records(connection, wanted, asked)
    folders = [
        Folder(folder, frame.keys[folder], visible[folder], records.get(folder, []))
        for folder in wanted
        if folder in records or not asked.records
    ]
    response = _response(frame, client, asked)
    return msgspec.structs.replace(response, folders=folders).to_payload()


async def _sealed_records(
    connection: AsyncConnection, folders: list[str], asked: GetSecretRequest
) -> dict[str, list[Record]]:
    """Records by folder; only those asked for, when some were."""
    if asked.records:
        known = await RECORDS.heads(connection, asked.records)
        heads = [head for head in known.values() if head.folder in folders]
    else:
        heads = await RECORDS.changed(
            connection, folders, since=0, until=_NEWEST, count=MAX_RECORDS
        )
    heads = [head for head in heads if not head.deleted]
    if sum(head.size for head in heads) > ANSWER_BYTES:
        raise _too_large()
    versions = await RECORDS.newest(connection, heads)
    of_these = await SETTINGS.heads(connection, list(versions))
    settings = await SETTINGS.newest(connection, list(of_these.values()))
    found: dict[str, list[Record]] = {}
    for head in heads:
        record = _sealed_record(head, versions[head.uid], settings.get(head.uid))
        found.setdefault(head.folder, []).append(record)
    return found


def _sealed_record(head: Head, version: RecordVersion, settings: SettingsVersion | None) -> Record:
    inner = read_record_seal(version.seal).inner_folder or None
    seals = RecordSeals(
        encode(version.seal),
        settings.payload if settings else None,
        encode(settings.seal) if settings else None,
        encode(version.write) if version.write else msgspec.UNSET,
    )
    return Record(
        head.uid, version.record_key, version.payload, head.revision, False,
        inner_folder_uid=inner, commander=seals,
    )  # fmt: skip
