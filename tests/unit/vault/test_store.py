"""What is kept between two processes: device.json, the kept login, the sealed cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from commander.config.paths import Paths
from commander.crypto import aead
from commander.vault.accounts import Identity
from commander.vault.device import DeviceFile, write_device
from commander.vault.replica import Replica
from commander.vault.store import Store
from commander.vault.unlock import (
    Unlocked,
)
from tests.support.vaults import candidate, device_for


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path / "home", tmp_path / "run")


@pytest.fixture
def login(paths: Paths) -> Unlocked:
    account = candidate("ann@example.org")
    device = device_for(account, bytes(32))
    write_device(paths.device_file, device)
    return account.unlocked(device, session="session-name", expires=2_000_000_000)


def replica_of(device: DeviceFile, cursor: int) -> Replica:
    replica = Replica(device.user, Identity.generate())
    replica.cursor = cursor
    return replica


def test_cache_of_another_key_or_user_is_not_used(tmp_path: Path, login: Unlocked) -> None:
    """It is fetched anew instead."""
    path = tmp_path / "home" / "cache.bin"
    store = Store(path, login.data_key, login.device.user)
    store.save(replica_of(login.device, 3).snapshot())

    found = store.load()
    assert found is not None
    assert found.cursor == 3
    assert Store(path, aead.new_key(), login.device.user).load() is None
    assert Store(path, login.data_key, "someone").load() is None


def test_every_truncation_of_the_cache_is_dropped(tmp_path: Path, login: Unlocked) -> None:
    """A damaged cache is no cache."""
    path = tmp_path / "home" / "cache.bin"
    store = Store(path, login.data_key, login.device.user)
    store.save(replica_of(login.device, 3).snapshot())
    data = path.read_bytes()

    for cut in range(len(data)):
        path.write_bytes(data[:cut])
        assert store.load() is None


def test_older_state_does_not_replace_a_newer_one(tmp_path: Path, login: Unlocked) -> None:
    """Of two shells that save, the one that has seen more stays."""
    store = Store(tmp_path / "home" / "cache.bin", login.data_key, login.device.user)
    store.save(replica_of(login.device, 5).snapshot())
    store.save(replica_of(login.device, 4).snapshot())
    found = store.load()
    assert found is not None
    assert found.cursor == 5

    store.save(replica_of(login.device, 6).snapshot())
    found = store.load()
    assert found is not None
    assert found.cursor == 6
    store.remove()
    assert store.load() is None
