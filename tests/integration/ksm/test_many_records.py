"""An application with 10,000 records is readable, by the official SDK as well."""

from __future__ import annotations

import asyncio

import pytest
from keeper_secrets_manager_core import SecretsManager  # type: ignore[import-untyped]
from keeper_secrets_manager_core.storage import (  # type: ignore[import-untyped]
    InMemoryKeyValueStorage,
)
from sqlalchemy import insert

from commander.backend.storage import changes, tables
from commander.codec import encode
from commander.crypto import aead
from commander.ids import DeviceUid, FolderUid, RecordUid, new_uid
from commander.vault.opening import seal_payload
from commander.wire.records import RecordData
from commander.wire.seals import FIRST_PREVIOUS, RecordSeal, RecordVersion, Signed
from tests.support.sdk_devices import SdkWorld

pytestmark = pytest.mark.integration
RECORDS = 10_000


async def store(world: SdkWorld, count: int) -> None:
    """Put records into the store at once, as if they had come one by one."""
    folder, heads, revisions = FolderUid(world.folder), [], []
    async with world.server.core.database.transaction() as transaction:
        for number, change in enumerate(await changes.reserve(transaction.connection, count)):
            uid, key = RecordUid(new_uid()), aead.new_key()
            seal = RecordSeal(
                uid, folder, "", 1, FIRST_PREVIOUS, b"", b"", DeviceUid(uid), 0, 0, False
            )
            payload = seal_payload(key, RecordData.create("login", f"Service {number}"))
            wrapped = aead.seal(world.folder_key, key)
            raw = encode(RecordVersion(Signed(encode(seal), bytes(64)), wrapped, payload))
            heads.append({
                "uid": uid, "folder": folder, "revision": 1, "digest": b"", "deleted": False,
                "size": len(raw), "change": change,
            })  # fmt: skip
            revisions.append({"uid": uid, "revision": 1, "raw": raw})
        await transaction.connection.execute(insert(tables.records), heads)
        await transaction.connection.execute(insert(tables.record_revisions), revisions)


async def test_ten_thousand_records_are_read_at_once(world: SdkWorld) -> None:
    """And one of them by its UID."""
    await store(world, RECORDS - 1)
    config = InMemoryKeyValueStorage((await world.config()).to_base64())
    manager = SecretsManager(config=config)

    records = await asyncio.to_thread(manager.get_secrets)
    wanted = next(record.uid for record in records if record.title == "Service 7777")
    (one,) = await asyncio.to_thread(manager.get_secrets, [wanted])

    assert len({record.uid for record in records}) == RECORDS
    assert one.title == "Service 7777"
