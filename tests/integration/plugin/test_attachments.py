"""Files between the vault and official SDKs, through the real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from keeper_secrets_manager_core import SecretsManager  # type: ignore[import-untyped]
from keeper_secrets_manager_core.core import KeeperFileUpload  # type: ignore[import-untyped]
from keeper_secrets_manager_core.storage import (  # type: ignore[import-untyped]
    InMemoryKeyValueStorage,
)

from commander.authority.statements import Right
from commander.crypto.streams import OVERHEAD_BYTES
from commander.errors import Conflict, NotFound, Refused, Tampered
from commander.plugin import attachments as transfer
from commander.plugin.testing import FakeContext
from commander.vault import attachments
from commander.wire.records import RecordData
from tests.support.backend_server import running
from tests.support.sdk_devices import SdkWorld, build_world, sdk_environment

pytestmark = pytest.mark.integration
CONTENT = bytes(range(256)) * 5000


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[SdkWorld]:
    tmp_path.chmod(0o700)
    (tmp_path / "mine").mkdir()
    async with running(tmp_path) as server:
        owner = await server.set_up()
        with sdk_environment(tmp_path / "ca.pem"):
            yield await build_world(server, owner, tmp_path, rights=(Right.VIEW, Right.EDIT))


def local(tmp_path: Path, name: str = "client.pem") -> transfer.LocalFile:
    """A file of this machine."""
    path = tmp_path / "mine" / name
    path.write_bytes(CONTENT)
    return transfer.read_local(path)


async def sdk(world: SdkWorld) -> Any:
    """The official SDK."""
    config = (await world.config()).to_base64()
    return SecretsManager(config=InMemoryKeyValueStorage(config))


async def test_vault_and_sdk_read_each_others_files(world: SdkWorld, tmp_path: Path) -> None:
    """Bytes and names are the same, and what the SDK removes is gone here too."""
    vault, manager = world.vault, await sdk(world)
    context = FakeContext(open_vault=vault)
    await transfer.attach(context, world.record, [local(tmp_path)])

    def read_and_add() -> None:
        (record,) = manager.get_secrets([world.record])
        (found,) = record.files
        assert (found.name, found.get_file_data()) == ("client.pem", CONTENT)
        file = KeeperFileUpload()
        file.Name, file.Title, file.Type, file.Data = "of-sdk", "Of the SDK", "x/y", CONTENT[::-1]
        manager.upload_file(record, file)

    await asyncio.to_thread(read_and_add)
    await vault.sync()
    record = vault.get_record(world.record)
    found = await attachments.list_of(vault, record)
    assert [one.name for one in found] == ["client.pem", "of-sdk"]
    target = tmp_path / "mine" / "out"
    await transfer.save(context, attachments.choose(found, "Of the SDK"), target)
    assert target.read_bytes() == CONTENT[::-1]
    first = await transfer.read_whole(context, found[0], limit=len(CONTENT) + OVERHEAD_BYTES)
    assert first == CONTENT


async def test_another_file_under_the_uid_of_an_sdk_is_told(world: SdkWorld) -> None:
    """The device signed which key and description belong to its file's UID: rows exchanged on the server are found out."""
    vault, manager = world.vault, await sdk(world)

    def add(name: str) -> None:
        (record,) = manager.get_secrets([world.record])
        file = KeeperFileUpload()
        file.Name, file.Title, file.Type, file.Data = name, name, "x/y", CONTENT
        manager.upload_file(record, file)

    await asyncio.to_thread(add, "one")
    await asyncio.to_thread(add, "two")
    await vault.sync()
    record = vault.get_record(world.record)
    assert [one.name for one in await attachments.list_of(vault, record)] == ["one", "two"]

    one, two = attachments.references(record.data)
    async with world.server.core.database.transaction() as transaction:
        for old, new in ((one, "X" * 22), (two, one), ("X" * 22, two)):
            await transaction.connection.exec_driver_sql(
                "UPDATE attachments SET uid = ? WHERE uid = ?", (new, old)
            )

    with pytest.raises(Tampered, match="another file"):
        await attachments.list_of(vault, record)


async def test_files_end_with_their_record(world: SdkWorld, tmp_path: Path) -> None:
    """Taken away alone, or with the record: the server keeps no bytes."""
    vault, context = world.vault, FakeContext(open_vault=world.vault)
    one, two = local(tmp_path, "one"), local(tmp_path, "two")
    await transfer.attach(context, world.record, [one, two])
    stored = tmp_path / "files"
    assert len(list(stored.iterdir())) == 2

    await attachments.remove(vault, world.record, [one.new.uid])
    assert len(list(stored.iterdir())) == 1
    await vault.delete_record(world.record)
    assert list(stored.iterdir()) == []


async def test_rights_are_judged_at_each_transfer(world: SdkWorld, tmp_path: Path) -> None:
    """A viewer reads and brings nothing; who lost the folder reads nothing by an address of before."""
    owner = world.vault
    await transfer.attach(FakeContext(open_vault=owner), world.record, [local(tmp_path)])
    bob = await world.server.add_person(world.owner, "bob@example.org")
    await owner.sync()
    await owner.sharing.share_with_user(world.folder, bob.user, (Right.VIEW,))
    await bob.vault.sync()
    context = FakeContext(open_vault=bob.vault)
    (found,) = await attachments.list_of(bob.vault, bob.vault.get_record(world.record))

    assert await transfer.read_whole(context, found, limit=2**21) == CONTENT
    with pytest.raises(Refused):
        await transfer.attach(context, world.record, [local(tmp_path, "other")])

    await owner.sharing.unshare(world.folder, bob.user)
    with pytest.raises(Refused):
        await transfer.read_whole(context, found, limit=2**21)
    with pytest.raises(NotFound):
        await attachments.list_of(bob.vault, bob.vault.get_record(world.record))


async def test_a_file_that_shrinks_while_it_is_read_is_not_attached(
    world: SdkWorld, tmp_path: Path
) -> None:
    """Its size was announced; what is there now is something else."""
    file = local(tmp_path)
    file.path.write_bytes(b"less")

    with pytest.raises(Conflict, match="changed while"):
        await transfer.attach(FakeContext(open_vault=world.vault), world.record, [file])

    record: RecordData = world.vault.get_record(world.record).data
    assert attachments.references(record) == []
