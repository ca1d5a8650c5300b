"""Tests of commander/vault/sdk_writes.py: the vault and a Secrets Manager device write the same things."""

from __future__ import annotations

import pytest

from commander.authority.refusals import Code
from commander.authority.statements import client_uid
from commander.crypto import aead
from commander.errors import Conflict, Refused
from commander.ids import new_uid
from commander.ksm import folder_names
from commander.vault.sdk_writes import MAX_REQUESTS, SeenDevices, ancestors_of, check_owner
from commander.vault.sync import restore
from commander.wire import calls
from commander.wire.records import RecordData
from tests.support.device_writes import b64
from tests.support.sdk_world import SdkWorld, make_sdk_world


@pytest.fixture
async def world() -> SdkWorld:
    """A vault and a device that nobody has confirmed."""
    return await make_sdk_world()


async def synced(world: SdkWorld) -> list[tuple[str, Code | str]]:
    """Sync; what does not verify, by kind and code."""
    return [(problem.kind, problem.error.code) for problem in await world.vault.sync()]


async def test_what_a_device_made_is_in_the_vault(world: SdkWorld) -> None:
    """It verifies, opens, and names the device as its author."""
    uid = world.create("From CI", password="s3cret")

    assert await synced(world) == []

    record = world.vault.get_record(uid)
    assert (record.data.title, record.data.text("password")) == ("From CI", "s3cret")
    assert record.author == client_uid(world.device.client_id)
    assert world.vault.find_record("Shared/From CI").uid == uid


async def test_vault_and_device_write_in_turn(world: SdkWorld) -> None:
    """Each goes on from the other's revision, and the history has all of it, by author."""
    uid = world.create("Orders", password="1")
    await world.vault.sync()
    await world.vault.update_record(uid, lambda data: data.set_first("login", "app"))
    world.update(uid, password="3")
    await world.vault.sync()
    await world.vault.update_record(uid, lambda data: data.set_first("url", "x"))

    record = world.vault.get_record(uid)
    history = await world.vault.history(uid)

    assert (record.data.text("password"), record.data.text("login")) == ("3", "app")
    device, ours = client_uid(world.device.client_id), world.vault.device
    assert [found.author for found in history] == [device, ours, device, ours]
    assert [found.revision for found in history] == [1, 2, 3, 4]


async def test_a_change_built_on_what_the_device_has_replaced_is_built_again(
    world: SdkWorld,
) -> None:
    """The device was faster: its change stays beside ours."""
    uid = world.create("Orders", password="1")
    await world.vault.sync()
    world.update(uid, password="2")

    await world.vault.update_record(uid, lambda data: data.set_first("login", "app"))

    data = world.vault.get_record(uid).data
    assert (data.text("password"), data.text("login")) == ("2", "app")


async def test_a_change_for_one_revision_only_is_refused_after_another(world: SdkWorld) -> None:
    """Who says which revision was seen is told that it is no longer the newest; both are kept."""
    uid = world.create("Orders", password="1")
    await world.vault.sync()
    world.update(uid, password="2")

    with pytest.raises(Conflict, match="revision 2"):
        await world.vault.update_record(
            uid, lambda data: data.set_first("password", "3"), revision=1
        )

    history = await world.vault.history(uid)
    assert [found.data.text("password") for found in history] == ["1", "2"]


async def test_the_vault_takes_a_record_over(world: SdkWorld) -> None:
    """It moves, renames and removes what a device made."""
    uid = world.create("Orders")
    await world.vault.sync()
    personal = world.vault.view.root

    await world.vault.move_record(uid, personal)
    await world.vault.delete_record(uid)

    assert uid not in world.vault.view.records
    assert await synced(world) == []


async def test_a_store_keeps_pinned_keys_and_requests(world: SdkWorld) -> None:
    """After a restart the same device is known, and requests still count once."""
    uid = world.create("Orders")
    world.add_file(uid)
    await world.vault.sync()

    replica = restore(world.vault._replica.snapshot(), world.vault.login.identity)

    assert replica.devices == world.vault._replica.devices
    assert replica.devices.keys == {client_uid(world.device.client_id): world.device.key.public.raw}
    assert list(replica.devices.requests) == [f"record/{uid}"]
    assert replica.records[uid].data.title == "Orders"


async def test_a_record_that_was_moved_before_a_device_wrote_is_followed(world: SdkWorld) -> None:
    """A second machine that has seen neither reads the revisions between."""
    uid = world.create("Orders")
    inner = await world.vault.create_folder("Inner", world.folder)
    await world.vault.sync()
    other = restore(world.vault._replica.snapshot(), world.vault.login.identity)
    await world.vault.move_record(uid, inner.uid)
    world.update(uid, password="2")
    world.vault._replica = other

    assert await synced(world) == []

    record = world.vault.get_record(uid)
    assert (record.inner_folder, record.revision) == (inner.uid, 3)


async def test_a_record_moved_into_a_folder_that_a_device_then_deleted(world: SdkWorld) -> None:
    """A machine that has seen neither learns of the move first, and so that the deletion was meant."""
    uid = world.create("Orders")
    inner = await world.vault.create_folder("Inner", world.folder)
    await world.vault.sync()
    other = restore(world.vault._replica.snapshot(), world.vault.login.identity)
    await world.vault.move_record(uid, inner.uid)
    write = world.device.sign(folderUids=[inner.uid], forceDeletion=True)
    world.store_folder(write, inner.uid, b"", deleted=True)
    world.store_record(write, uid, b"", deleted=True)
    world.vault._replica = other

    assert await synced(world) == []

    assert uid not in world.vault.view.records


async def test_a_folder_deleted_by_force_takes_its_records(world: SdkWorld) -> None:
    """What was in it, at any depth, is gone; what was not, stays."""
    outer = await world.vault.create_folder("Outer", world.folder)
    inner = await world.vault.create_folder("Inner", outer.uid)
    within, beside = world.create("In", inner=inner.uid), world.create("Beside")
    await world.vault.sync()
    write = world.device.sign(folderUids=[outer.uid], forceDeletion=True)
    for folder in (outer.uid, inner.uid):
        world.store_folder(write, folder, b"", deleted=True)
    world.store_record(write, within, b"", deleted=True)

    assert await synced(world) == []

    assert set(world.vault.view.records) == {beside}
    assert outer.uid not in world.vault.view.folders


async def test_a_renamed_folder_keeps_its_place(world: SdkWorld) -> None:
    """The device gives a name, the vault's own form the place."""
    outer = await world.vault.create_folder("Outer", world.folder)
    inner = await world.vault.create_folder("Inner", outer.uid)
    world.rename(inner.uid, "Renamed")

    assert await synced(world) == []

    assert world.vault.view.path_of(inner.uid) == ("Shared", "Outer", "Renamed")


async def test_ancestors_end_at_the_domain_also_in_a_circle() -> None:
    """However folders name each other."""
    assert ancestors_of("a", "d", {"a": "b", "b": ""}) == {"a", "b", "d"}
    assert ancestors_of("a", "d", {"a": "b", "b": "a"}) == {"a", "b", "d"}
    assert ancestors_of("", "d", {}) == {"d"}


async def test_so_many_requests_are_remembered(world: SdkWorld) -> None:
    """The oldest is forgotten first."""
    uid = world.create("Orders")
    version = world.add_file(uid)
    assert version.write is not None
    seen = SeenDevices()
    seen.requests[f"record/{uid}"] = {bytes([n // 256, n % 256]): n for n in range(MAX_REQUESTS)}

    seen.accept(world.server.state(), f"record/{uid}", 2, version.write)

    assert len(seen.requests[f"record/{uid}"]) == MAX_REQUESTS
    assert bytes(2) not in seen.requests[f"record/{uid}"]


async def test_only_who_has_the_application_key_can_tell_the_owner(world: SdkWorld) -> None:
    """Others can't, and an update says nothing of the owner."""
    key = aead.new_key()
    made = world.sign_create("A" * 22, key, RecordData.create("login", "x"))
    other = aead.new_key()

    check_owner(made, None, key)
    check_owner(made, world.vault.application_key(world.application), key)
    check_owner(world.sign_update("A" * 22, 1, bytes(40)), other, key)
    with pytest.raises(Refused) as caught:
        check_owner(made, other, key)

    assert caught.value.code == Code.SEAL_BROKEN


def copies(world: SdkWorld, commits: list[calls.Commit]) -> dict[str, tuple[str, str]]:
    """Name and parent of folders as SDKs read them in what was sent, by UID."""
    found = {}
    for copy in (copy for commit in commits for copy in commit.folder_copies):
        key = (
            world.folder_key if not copy.key else folder_names.open_key(world.folder_key, copy.key)
        )
        found[copy.folder] = (folder_names.open_name(key, copy.data), copy.parent)
    return found


async def test_folders_of_applications_are_written_as_sdks_read_them(world: SdkWorld) -> None:
    """When they are made, renamed, moved, and all of them when a folder is shared; no others."""
    sent: list[calls.Commit] = []
    world.server.on_commit = sent.append
    vault = world.vault
    outer = await vault.create_folder("Outer", world.folder)
    inner = await vault.create_folder("Inner", world.folder)
    await vault.create_folder("Personal")
    await vault.rename_folder(outer.uid, "Renamed")
    await vault.move_folder(inner.uid, outer.uid)
    expected: dict[str, tuple[str, str]] = {
        outer.uid: ("Renamed", ""),
        inner.uid: ("Inner", outer.uid),
    }

    assert copies(world, sent) == expected

    sent.clear()
    other = await vault.applications.create("Other")
    await vault.applications.share_folder(other.uid, world.folder)
    assert copies(world, sent) == expected | {world.folder: ("Shared", "")}

    sent.clear()
    await vault.delete_folder(inner.uid)
    assert not copies(world, sent)


async def test_a_folder_that_a_device_made_is_renamed_by_both(world: SdkWorld) -> None:
    """Each by the key it has: the maker's until the vault has written the folder anew."""
    key, folder = aead.new_key(), new_uid()
    name = folder_names.seal_name(key, "Made")
    made = world.device.sign(
        folderUid=folder,
        sharedFolderUid=world.folder,
        sharedFolderKey=b64(folder_names.seal_key(world.folder_key, key)),
        data=b64(name),
    )
    world.store_folder(made, folder, name)
    assert await synced(world) == []
    again = folder_names.seal_name(key, "By its maker")
    world.store_folder(
        world.device.sign(folderUid=folder, data=b64(again)), folder, again, origin=made
    )
    assert await synced(world) == []
    assert world.vault.view.folders[folder].name == "By its maker"

    await world.vault.rename_folder(folder, "By the vault")
    anew = folder_names.seal_name(world.folder_key_of(folder), "By a device")
    world.store_folder(
        world.device.sign(folderUid=folder, data=b64(anew)), folder, anew, origin=made
    )

    assert await synced(world) == []
    assert world.vault.view.folders[folder].name == "By a device"
