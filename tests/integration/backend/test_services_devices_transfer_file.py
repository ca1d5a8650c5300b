"""Whose ticket opens what."""

from __future__ import annotations

import pytest

from commander.authority.statements import Right
from commander.backend.services.devices.transfer_file import sweep_files
from tests.support.sdk_devices import RawDevice, SdkWorld, b64, download, upload

pytestmark = pytest.mark.integration


@pytest.fixture
async def place(world: SdkWorld, device: RawDevice) -> str:
    """Where an attachment of 100 bytes may be put."""
    _, answer = await device.call(
        "add_file", **device.new_file((await device.newest())["revision"])
    )
    return str(answer["url"])


async def address(device: RawDevice) -> str:
    return str((await device.newest())["files"][0]["url"])


async def test_place_takes_the_bytes_once(world: SdkWorld, place: str, device: RawDevice) -> None:
    """Nobody replaces what is there, nor reads where one writes."""
    assert (await download(world, place))[0] == 403
    assert await upload(world, place, b"x" * 100) == 201
    assert await upload(world, place, b"y" * 100) == 403
    assert await download(world, await address(device)) == (200, b"x" * 100)
    assert await upload(world, await address(device), b"y" * 100) == 403


async def test_addresses_end_after_a_quarter_of_an_hour(
    world: SdkWorld, place: str, device: RawDevice
) -> None:
    """A new one is in the next answer."""
    await upload(world, place, bytes(100))
    old = await address(device)
    world.server.clock.advance(15 * 60)

    assert (await download(world, old))[0] == 403
    assert (await download(world, await address(device)))[0] == 200


async def test_address_ends_with_the_right_it_came_from(
    world: SdkWorld, place: str, device: RawDevice
) -> None:
    """Edit right for places, the share for addresses, the client for both."""
    other = await world.device()
    applications = world.vault.applications
    await applications.share_folder(world.application, world.folder, (Right.VIEW,))
    assert await upload(world, place, bytes(100)) == 403
    await applications.share_folder(world.application, world.folder, (Right.VIEW, Right.EDIT))
    assert await upload(world, place, bytes(100)) == 201
    mine, theirs = await address(device), await address(other)

    await applications.remove_client(b64(device.client_id))
    assert (await download(world, mine))[0] == 403
    assert (await download(world, theirs))[0] == 200
    await applications.unshare_folder(world.application, world.folder)
    assert (await download(world, theirs))[0] == 403


async def test_bytes_of_a_removed_attachment_are_not_kept(
    world: SdkWorld, place: str, device: RawDevice
) -> None:
    """Removed before they came, or while they came."""
    record = await device.newest()
    await device.update(record["revision"], links2Remove=[record["files"][0]["fileUid"]])

    assert await upload(world, place, bytes(100)) == 403
    assert not world.server.core.files.directory.exists()


async def test_places_nobody_used_for_a_day_are_swept(
    world: SdkWorld, place: str, device: RawDevice
) -> None:
    """The row goes, and whatever lies in the directory that no row needs."""
    core = world.server.core
    assert await sweep_files(core) == 0
    assert len((await device.newest())["files"]) == 1
    core.files.directory.mkdir(mode=0o700)
    (core.files.directory / ".new-left").write_bytes(b"half")
    world.server.clock.advance(24 * 3600 + 1)

    assert await sweep_files(core) == 1
    assert (await device.update((await device.newest())["revision"]))[0] == 200
    assert (await device.newest())["files"] is None
