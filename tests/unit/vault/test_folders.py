from __future__ import annotations

import pytest

from commander.clock import ManualClock
from commander.errors import Conflict
from commander.vault.folders import descend
from commander.vault.session import Vault
from tests.support.memory_server import MemoryServer
from tests.support.vaults import first_vault


@pytest.fixture
async def vault() -> Vault:
    clock = ManualClock()
    return await first_vault(MemoryServer(clock), clock)


async def test_folders_below_are_listed_from_the_top(vault: Vault) -> None:
    """The folder itself first, the deepest last, shared ones never within another."""
    top = await vault.create_folder("Top")
    low = await vault.create_folder("Low", top.uid)
    await vault.create_folder("Lowest", low.uid)
    await vault.create_shared_folder("Shared")

    assert [found.name for found in descend(vault.view, top.uid)] == ["Top", "Low", "Lowest"]
    names = [found.name for found in descend(vault.view, vault.view.root)]
    assert "Shared" not in names


async def test_renaming_to_the_same_name_writes_nothing(vault: Vault) -> None:
    """The revision stays."""
    folder = await vault.create_folder("Top")
    await vault.rename_folder(folder.uid, "Top")

    assert vault.view.folders[folder.uid].revision == 1


async def test_moving_to_the_same_place_writes_nothing(vault: Vault) -> None:
    """The revision stays."""
    folder = await vault.create_folder("Top")
    await vault.move_folder(folder.uid, vault.view.root)

    assert vault.view.folders[folder.uid].revision == 1


async def test_folder_cannot_move_into_itself_or_out_of_its_domain(vault: Vault) -> None:
    """B037, and the border of a shared folder's key."""
    top = await vault.create_folder("Top")
    low = await vault.create_folder("Low", top.uid)
    shared = await vault.create_shared_folder("Shared")

    for source, target in ((top, top), (top, low), (top, shared), (shared, top)):
        with pytest.raises(Conflict):
            await vault.move_folder(source.uid, target.uid)


async def test_personal_root_stays(vault: Vault) -> None:
    """It cannot be removed."""
    with pytest.raises(Conflict):
        await vault.delete_folder(vault.view.root)


async def test_removed_folder_takes_those_below_along(vault: Vault) -> None:
    """The deepest first, in one change."""
    top = await vault.create_folder("Top")
    low = await vault.create_folder("Low", top.uid)
    await vault.delete_folder(top.uid)

    assert top.uid not in vault.view.folders
    assert low.uid not in vault.view.folders
