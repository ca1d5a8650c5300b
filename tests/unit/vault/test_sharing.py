from __future__ import annotations

import pytest

from commander.authority.statements import Right
from commander.clock import ManualClock
from commander.errors import Conflict, InvalidInput, NotFound
from commander.vault.session import Vault
from tests.support.memory_server import MemoryServer
from tests.support.vaults import first_vault, second_vault


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def server(clock: ManualClock) -> MemoryServer:
    return MemoryServer(clock)


@pytest.fixture
async def ann(server: MemoryServer, clock: ManualClock) -> Vault:
    return await first_vault(server, clock)


async def test_shared_folder_is_shared_changed_and_unshared(
    ann: Vault, server: MemoryServer, clock: ManualClock
) -> None:
    """Members are listed owner first; the same share again is no change."""
    bob = await second_vault(server, clock, ann, "bob@example.org")
    await ann.sync()
    folder = (await ann.create_shared_folder("Shared")).uid
    application = await ann.applications.create("App")
    await ann.applications.share_folder(application.uid, folder)

    assert await ann.sharing.share_with_user(folder, bob.user, (Right.VIEW,))
    assert not await ann.sharing.share_with_user(folder, bob.user, (Right.VIEW,))
    assert await ann.sharing.share_with_user(folder, bob.user, (Right.VIEW, Right.EDIT))
    await bob.sync()
    assert folder in bob.view.folders

    members = [(m.kind, m.name, m.rights) for m in ann.sharing.members(folder)]
    assert members == [
        ("owner", "ann@example.org", ("view", "edit", "share")),
        ("application", "App", ("view",)),
        ("user", "bob@example.org", ("view", "edit")),
    ]
    assert await ann.sharing.unshare(folder, bob.user)
    assert not await ann.sharing.unshare(folder, bob.user)
    await bob.sync()
    assert folder not in bob.view.folders


async def test_only_shared_folders_are_shared(
    ann: Vault, server: MemoryServer, clock: ManualClock
) -> None:
    """Not the personal root, not a folder within one, not with nobody."""
    inner = await ann.create_folder("Inner")
    shared = await ann.create_shared_folder("Shared")
    application = await ann.applications.create("App")

    for folder in (inner.uid, ann.view.root):
        with pytest.raises(Conflict):
            await ann.sharing.share_with_user(folder, ann.user, (Right.VIEW,))
        with pytest.raises(InvalidInput):
            await ann.applications.share_folder(application.uid, folder)
    with pytest.raises(NotFound):
        await ann.sharing.share_with_user(shared.uid, "A" * 22, (Right.VIEW,))
