"""The vault and the official Python SDK on the same folders and records, through the real server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from keeper_secrets_manager_core import SecretsManager  # type: ignore[import-untyped]
from keeper_secrets_manager_core.dto.payload import (  # type: ignore[import-untyped]
    CreateOptions,
)
from keeper_secrets_manager_core.exceptions import KeeperError  # type: ignore[import-untyped]
from keeper_secrets_manager_core.storage import (  # type: ignore[import-untyped]
    InMemoryKeyValueStorage,
)

from commander.errors import Conflict
from commander.wire.records import RecordData
from tests.integration.ksm.test_python_sdk import secret
from tests.support.sdk_devices import SdkWorld

pytestmark = pytest.mark.integration


async def opened(world: SdkWorld) -> Any:
    """The SDK with a configuration as `client add --config-init b64` gives it."""
    text = (await world.config()).to_base64()
    return SecretsManager(config=InMemoryKeyValueStorage(text))


def setting(password: str) -> Callable[[RecordData], None]:
    """A change of the password."""
    return lambda data: data.set_first("password", password)


async def tree(manager: Any) -> dict[str, tuple[str, str]]:
    """Name and parent's name of each folder, as the SDK reads them."""
    folders = await asyncio.to_thread(manager.get_folders)
    names = {folder.folder_uid: folder.name for folder in folders}
    return {
        folder.folder_uid: (folder.name, names.get(folder.parent_uid or "", ""))
        for folder in folders
    }


async def test_folders_of_the_vault_are_read_and_renamed_by_the_sdk(world: SdkWorld) -> None:
    """Names, nesting and renames in both directions; the vault shows the SDK's name."""
    vault, manager = world.vault, await opened(world)
    outer = await vault.create_folder("Outer", world.folder)
    inner = await vault.create_folder("Innér", outer.uid)
    assert await tree(manager) == {
        world.folder: ("Databases", ""),
        outer.uid: ("Outer", "Databases"),
        inner.uid: ("Innér", "Outer"),
    }

    await asyncio.to_thread(manager.update_folder, inner.uid, "By the SDK")
    await vault.sync()
    assert vault.problems == []
    assert vault.view.path_of(inner.uid) == ("Databases", "Outer", "By the SDK")

    await vault.rename_folder(outer.uid, "Renamed")
    await vault.move_folder(inner.uid, world.folder)
    await vault.rename_folder(world.folder, "Production")
    found = await tree(manager)
    assert found[world.folder][0] == "Production"
    assert found[outer.uid] == ("Renamed", "Production")
    assert found[inner.uid][0] == "By the SDK"
    assert found[inner.uid][1] == "Production"


async def test_folders_of_the_sdk_are_renamed_by_the_vault_and_again_by_the_sdk(
    world: SdkWorld,
) -> None:
    """The folder's key changes hands, and each reads the other's name."""
    vault, manager = world.vault, await opened(world)
    options = CreateOptions(world.folder, None)
    uid = await asyncio.to_thread(manager.create_folder, options, "Of the SDK")
    await vault.sync()
    assert vault.view.folders[uid].name == "Of the SDK"

    await vault.rename_folder(uid, "Of the vault")
    assert (await tree(manager))[uid][0] == "Of the vault"
    await asyncio.to_thread(manager.update_folder, uid, "Of the SDK again")
    await vault.sync()

    assert vault.problems == []
    assert vault.view.folders[uid].name == "Of the SDK again"
    record = await asyncio.to_thread(
        manager.create_secret_with_options, CreateOptions(world.folder, uid), secret("Inside")
    )
    await vault.sync()
    assert vault.view.record_path(vault.get_record(record)) == "Databases/Of the SDK again/Inside"


async def test_two_writers_at_once_lose_nothing(world: SdkWorld) -> None:
    """Each value that was acknowledged is a revision of its own, by its author, in one chain."""
    vault, manager = world.vault, await opened(world)
    rounds = 6

    def write_by_sdk(number: int) -> None:
        while True:
            (record,) = manager.get_secrets([world.record])
            record.field("password", f"sdk {number}")
            try:
                manager.save(record)
            except KeeperError as error:
                if "out_of_sync" not in str(error):
                    raise
            else:
                return

    async def write_by_vault() -> None:
        for number in range(rounds):
            await vault.update_record(world.record, setting(f"vault {number}"))

    async def write_all_by_sdk() -> None:
        for number in range(rounds):
            await asyncio.to_thread(write_by_sdk, number)

    await asyncio.gather(write_all_by_sdk(), write_by_vault())
    await vault.sync()
    history = await vault.history(world.record)

    written = [revision.data.text("password") for revision in history[1:]]
    expected = {f"{who} {number}" for who in ("sdk", "vault") for number in range(rounds)}
    assert len(written) == 2 * rounds
    assert set(written) == expected
    assert [revision.revision for revision in history] == list(range(1, 2 * rounds + 2))
    assert vault.problems == []


async def test_the_vault_is_told_that_a_revision_is_not_the_newest(world: SdkWorld) -> None:
    """Exit code 7, nothing changed, both values in the history."""
    vault, manager = world.vault, await opened(world)

    def write() -> None:
        (record,) = manager.get_secrets([world.record])
        record.field("password", "of the SDK")
        manager.save(record)

    await asyncio.to_thread(write)
    with pytest.raises(Conflict) as caught:
        await vault.update_record(
            world.record, lambda data: data.set_first("password", "mine"), revision=1
        )

    assert caught.value.exit_code == 7
    history = await vault.history(world.record)
    assert [found.data.text("password") for found in history] == ["pass wörd", "of the SDK"]
