"""Backups: whole while the server writes, checked before they replace anything."""

from __future__ import annotations

import asyncio
import hashlib
import os
from pathlib import Path

import pytest

from commander.authority.statements import Right
from commander.backend import archive
from commander.clock import ManualClock
from commander.errors import CommanderError, Conflict, InvalidInput
from commander.vault.session import Vault
from commander.wire.records import RecordData
from tests.support.backend_server import running
from tests.support.sdk_devices import build_world, download, upload

pytestmark = pytest.mark.integration


@pytest.fixture
def data(tmp_path: Path) -> Path:
    found = tmp_path / "data"
    found.mkdir(mode=0o700)
    return found


async def test_backup_of_a_busy_server_is_whole_and_restores(data: Path, tmp_path: Path) -> None:
    """Everything that was acknowledged before the backup began is in it, and clients go on."""
    backup, other = tmp_path / "b", tmp_path / "other"
    clock = ManualClock()
    async with running(data, clock) as server:
        admin = await server.set_up()
        early = {(await admin.vault.create_record(_record())).uid for _ in range(5)}

        async def write() -> None:
            for _ in range(15):
                await admin.vault.create_record(_record())

        writer = asyncio.ensure_future(write())
        await asyncio.to_thread(archive.write_backup, data, backup, overwrite=False)
        await writer
    assert backup.stat().st_mode & 0o777 == 0o600

    archive.restore_backup(backup, other, overwrite=False)

    async with running(other, clock) as server:
        login = admin.account.unlocked(admin.device, session=admin.session, expires=admin.expires)
        person = server.person(admin.account, admin.device, admin.session, admin.expires)
        vault = await Vault.open(login, person.api, clock=clock)
        assert early <= set(vault.view.records)
        assert not vault.problems
        await vault.create_record(_record())


def _record() -> RecordData:
    return RecordData.create("login", "x")


async def test_nothing_is_overwritten_without_force(data: Path, tmp_path: Path) -> None:
    """Neither a file nor a directory with something in it."""
    backup = tmp_path / "b"
    async with running(data):
        pass
    archive.write_backup(data, backup, overwrite=False)
    before = backup.read_bytes()

    with pytest.raises(Conflict):
        archive.write_backup(data, backup, overwrite=False)
    with pytest.raises(Conflict):
        archive.restore_backup(backup, data, overwrite=False)
    with pytest.raises(CommanderError):
        archive.write_backup(tmp_path, tmp_path / "c", overwrite=False)

    assert backup.read_bytes() == before
    archive.write_backup(data, backup, overwrite=True)
    archive.restore_backup(backup, data, overwrite=True)
    assert {path.name for path in data.iterdir()} == {"server.db", *archive.KEY_FILES}


async def test_damaged_backup_replaces_nothing(data: Path, tmp_path: Path) -> None:
    """Cut anywhere, altered anywhere, or no backup at all: the old data stays."""
    backup = tmp_path / "b"
    async with running(data):
        pass
    archive.write_backup(data, backup, overwrite=False)
    good, before = backup.read_bytes(), (data / "ca.pem").read_bytes()
    cuts = [good[:n] for n in (0, 5, 18, 30, 1000, len(good) - 33, len(good) - 1)]
    flips = [
        good[:n] + bytes([good[n] ^ 1]) + good[n + 1 :] for n in (3, 19, 25, 5000, -1 % len(good))
    ]

    for bad in (*cuts, *flips, os.urandom(5000), good + b"x"):
        backup.write_bytes(bad)
        with pytest.raises(InvalidInput):
            archive.restore_backup(backup, data, overwrite=True)
    with pytest.raises(InvalidInput):
        archive.restore_backup(tmp_path / "none", data, overwrite=True)

    assert (data / "ca.pem").read_bytes() == before
    assert not list(data.glob(".restore*"))


async def test_parts_of_other_names_are_refused(data: Path, tmp_path: Path) -> None:
    """No part of a crafted backup can write outside the directory."""

    backup = tmp_path / "b"
    names = (b"../evil", b"/etc/evil", b"lock", b"", b"files/../../evil", b"files/" + b"0" * 31)
    for name in names:
        raw = archive.MAGIC + len(name).to_bytes(2, "big") + name + (1).to_bytes(8, "big") + b"x"
        backup.write_bytes(raw + hashlib.sha256(raw).digest())
        with pytest.raises(InvalidInput):
            archive.restore_backup(backup, data, overwrite=True)

    assert not (tmp_path / "evil").exists()
    assert list(data.iterdir()) == []


async def test_attachments_go_along_and_old_ones_do_not_stay(data: Path, tmp_path: Path) -> None:
    """As ciphertext, 0600; an unfinished upload is left out; what the restored store lacks is gone."""
    backup, clock = tmp_path / "b", ManualClock()
    async with running(data, clock) as server:
        owner = await server.set_up()
        world = await build_world(server, owner, data, rights=(Right.VIEW, Right.EDIT))
        device = await world.device()
        content = device.new_file((await device.newest())["revision"])
        _, place = await device.call("add_file", **content)
        assert await upload(world, place["url"], b"x" * 100) == 201
        (data / "files" / ".new-half").write_bytes(b"half")
        await asyncio.to_thread(archive.write_backup, data, backup, overwrite=False)
        second = device.new_file(content["ownerRecordRevision"] + 1)
        _, place = await device.call("add_file", **second)
        assert await upload(world, place["url"], b"y" * 100) == 201

    archive.restore_backup(backup, data, overwrite=True)

    (kept,) = (data / "files").iterdir()
    assert (kept.read_bytes(), kept.stat().st_mode & 0o777) == (b"x" * 100, 0o600)
    async with running(data, clock) as server:
        world.server = server
        url = (await device.newest())["files"][0]["url"]
        assert await download(world, url) == (200, b"x" * 100)
    assert {path.name for path in data.iterdir()} >= {"server.db", "files", *archive.KEY_FILES}
    assert not list(data.glob(".restore*"))
