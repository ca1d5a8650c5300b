"""Tests of commander/vault/application_users.py."""

from __future__ import annotations

import pytest

from commander.clock import ManualClock
from commander.errors import NotFound, Refused
from commander.ids import UserUid
from commander.vault import application_users
from commander.vault.session import Vault
from tests.support.memory_server import MemoryServer
from tests.support.vaults import first_vault, second_vault


@pytest.fixture
async def pair() -> tuple[Vault, Vault]:
    """Ann, who owns an application with a folder, and Bob."""
    clock = ManualClock()
    server = MemoryServer(clock)
    ann = await first_vault(server, clock)
    bob = await second_vault(server, clock, ann, "bob@example.org")
    await ann.sync()
    application = await ann.applications.create("CI")
    folder = await ann.create_shared_folder("Shared")
    await ann.applications.share_folder(application.uid, folder.uid)
    return ann, bob


async def test_a_user_gets_the_key_and_the_folders(pair: tuple[Vault, Vault]) -> None:
    """To view only; what the application gets later comes as well; again is no change."""
    ann, bob = pair
    uid = ann.applications.find("CI").uid

    assert await application_users.share(ann, uid, bob.user, is_admin=False)
    assert not await application_users.share(ann, uid, bob.user, is_admin=False)
    later = await ann.create_shared_folder("Later")
    await ann.applications.share_folder(uid, later.uid)
    await bob.sync(everything=True)

    assert bob.applications.find("CI").title == "CI"
    assert {folder.name for folder in bob.view.folders.values()} >= {"Shared", "Later"}
    users = application_users.users_of(ann, uid)
    assert [(user.email, user.role) for user in users] == [
        ("ann@example.org", "owner"), ("bob@example.org", "viewer"),
    ]  # fmt: skip
    assert await application_users.share(ann, uid, bob.user, is_admin=True)
    assert application_users.users_of(ann, uid)[1].role == "admin"


async def test_it_is_taken_back_and_the_folders_stay(pair: tuple[Vault, Vault]) -> None:
    """The application is gone from Bob's view; a second time nothing changes."""
    ann, bob = pair
    uid = ann.applications.find("CI").uid
    await application_users.share(ann, uid, bob.user, is_admin=True)
    await bob.sync(everything=True)

    assert await application_users.unshare(ann, uid, bob.user)
    assert not await application_users.unshare(ann, uid, bob.user)
    await bob.sync(everything=True)

    assert bob.applications.all() == []
    assert "Shared" in {folder.name for folder in bob.view.folders.values()}


async def test_only_who_owns_it_shares_it_and_only_with_users(pair: tuple[Vault, Vault]) -> None:
    """A stranger to it is refused, an unknown user is told."""
    ann, bob = pair
    uid = ann.applications.find("CI").uid

    with pytest.raises(Refused):
        await application_users.share(bob, uid, ann.user, is_admin=False)
    with pytest.raises(NotFound):
        await application_users.share(ann, uid, UserUid("A" * 22), is_admin=False)
