"""`get_secret` of the Secrets Manager device API: bind a device by its token, and let it read."""

from __future__ import annotations

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from commander.audit.events import Enrolled, TokenRefused
from commander.authority.decide import Action, Allow, decide
from commander.authority.refusals import Code
from commander.authority.state import State
from commander.backend.core import Core
from commander.backend.storage import applications, clients
from commander.backend.storage.clients import StoredClient
from commander.backend.storage.objects import RECORDS, SETTINGS, Head
from commander.codec import encode
from commander.crypto.kdf import sha256
from commander.errors import CommanderError, NotFound, Refused, SealBroken
from commander.ksm import base64_text
from commander.ksm.keys import P256PublicKey
from commander.ksm.payloads import (
    MAX_RECORDS,
    Folder,
    GetSecretRequest,
    GetSecretResponse,
    Record,
    RecordSeals,
)
from commander.ksm.request import OpenedRequest
from commander.wire.seals import RecordVersion, SettingsVersion, read_record_seal

ANSWER_BYTES = 40 * 1024 * 1024
_TOUCH_S = 60
_NEWEST = 2**62


async def get_secret(core: Core, opened: OpenedRequest, *, address: str) -> bytes:
    """
    Verify the device and return the payload of its answer.

    Raises InvalidInput for a bad form, SealBroken, NotFound and Refused for a device that may
    not read, Refused(too-many-requests), Refused(store-unavailable).
    """
    asked = GetSecretRequest.parse(opened.payload)
    client_id = base64_text.to_standard(asked.client_id)
    core.guards.devices.check(client_id, core.clock.now())
    async with core.database.reading() as connection:
        client = await clients.find(connection, client_id)
    if client is None:
        raise NotFound("unknown client")
    _check_application(core.state, client)
    if asked.public_key is not None:
        opened.verify_signature(asked.public_key)
        client = await _bind(core, client, asked.public_key, address)
    else:
        if not client.is_bound:
            raise SealBroken
        opened.verify_signature(P256PublicKey(client.public_key))
        await _check_use(core, client, address)
    return await _answer(core, client, asked)


def _check_application(state: State, client: StoredClient) -> None:
    if state.applications.get(client.application) is None:
        raise NotFound("unknown application")
    if client.kind != "gateway":
        return
    # A gateway is what the log certifies: revoked there, it reads nothing here, and its token
    # binds nothing here.
    certified = any(
        gateway.client_id == client.client_id and gateway.ksm_key == client.public_key
        for gateway in state.gateways.values()
    )
    if not certified:
        raise Refused("the gateway is not certified", code=Code.DEVICE_REVOKED)


async def _bind(core: Core, client: StoredClient, key: P256PublicKey, address: str) -> StoredClient:
    """Give the device its key, once; the same key again gets the same answer until it is used."""
    if client.is_bound and client.public_key == key.raw and client.app_key:
        await _check_use(core, client, address, first=True)
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


async def _check_use(
    core: Core, client: StoredClient, address: str, *, first: bool = False
) -> None:
    """Check time and address of a bound device, and note its access."""
    now = core.now()
    if client.access_expires and now >= client.access_expires:
        raise Refused("the client's access has ended", code=Code.ACCESS_EXPIRED)
    if client.ip_lock and client.address not in ("", address):
        raise Refused("the client is locked to another address", code=Code.TOKEN_ADDRESS)
    is_recent = now - client.last_access < _TOUCH_S and not client.app_key
    if first or is_recent:
        return
    try:
        async with core.database.transaction() as transaction:
            await clients.used(
                transaction.connection,
                client.client_id,
                address=address,
                now=now,
                first=client.first_access,
            )
    except Refused as error:
        if error.code != Code.STORE_UNAVAILABLE:  # a full disk must not keep devices from reading
            raise


async def _answer(core: Core, client: StoredClient, asked: GetSecretRequest) -> bytes:
    binds = asked.public_key is not None
    visible = _visible_folders(core.state, client.application, now=core.now())
    wanted = visible & set(asked.folders) if asked.folders else visible
    async with core.database.reading() as connection:
        stored = await applications.find(connection, client.application)
        keys = {
            key.folder: key.key
            for key in await applications.keys_of(connection, client.application)
        }
        records = await _records(connection, sorted(wanted & set(keys)), asked)
    folders = [
        Folder(folder, keys[folder], False, records.get(folder, []))
        for folder in sorted(wanted)
        if folder in keys and (folder in records or not asked.records)
    ]
    return GetSecretResponse.make(
        folders=folders,
        records=[],
        app_data=stored.data if stored else None,
        encrypted_app_key=client.app_key if binds else None,
        expires_on=client.access_expires * 1000,
    ).to_payload()


def _visible_folders(state: State, application: str, *, now: float) -> set[str]:
    return {
        str(access.folder)
        for access in state.folders_of(application)
        if isinstance(decide(state, application, Action.VIEW, access.folder, now=now), Allow)
    }


async def _records(
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
        raise CommanderError("the answer is too large; ask for fewer records")
    versions = await RECORDS.newest(connection, heads)
    settings: dict[str, SettingsVersion] = {}
    if asked.seals:
        of_these = await SETTINGS.heads(connection, list(versions))
        settings = await SETTINGS.newest(connection, list(of_these.values()))
    found: dict[str, list[Record]] = {}
    for head in heads:
        seals = _seals(versions[head.uid], settings.get(head.uid)) if asked.seals else None
        found.setdefault(head.folder, []).append(_record(head, versions[head.uid], seals))
    return found


def _record(head: Head, version: RecordVersion, seals: RecordSeals | None) -> Record:
    inner = read_record_seal(version.seal).inner_folder or None
    if seals is None:
        return Record(
            head.uid, version.record_key, version.payload, head.revision, False,
            inner_folder_uid=inner,
        )  # fmt: skip
    return Record(
        head.uid, version.record_key, version.payload, head.revision, False,
        inner_folder_uid=inner, commander=seals,
    )  # fmt: skip


def _seals(version: RecordVersion, settings: SettingsVersion | None) -> RecordSeals:
    return RecordSeals(
        encode(version.seal),
        settings.payload if settings else None,
        encode(settings.seal) if settings else None,
        encode(version.write) if version.write else msgspec.UNSET,
    )
