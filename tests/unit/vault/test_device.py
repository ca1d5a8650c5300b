"""What is kept between two processes: device.json, the kept login, the sealed cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from commander.config.paths import Paths
from commander.errors import InvalidInput, NotLoggedIn
from commander.vault.device import read_device, remove_device, write_device
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


def test_device_file_comes_back(paths: Paths, login: Unlocked) -> None:
    """All of it, in a file only its owner reads, whose repr shows no key."""
    assert read_device(paths.device_file) == login.device
    assert paths.device_file.stat().st_mode & 0o777 == 0o600
    assert repr(login.device.sign_key) not in repr(login.device)


def test_missing_device_file_means_not_logged_in(paths: Paths) -> None:
    """With the way to an account."""
    with pytest.raises(NotLoggedIn) as caught:
        read_device(paths.device_file)

    assert "login" in caught.value.hint


def test_every_truncation_of_the_device_file_is_named(paths: Paths, login: Unlocked) -> None:
    """A damaged file is an error with its name, never a crash or a half device."""
    data = paths.device_file.read_bytes()
    for cut in range(0, len(data) - 2, 7):
        paths.device_file.write_bytes(data[:cut])
        with pytest.raises(InvalidInput):
            read_device(paths.device_file)


def test_readable_device_file_is_refused(paths: Paths, login: Unlocked) -> None:
    """With the command that repairs it."""
    paths.device_file.chmod(0o644)

    with pytest.raises(InvalidInput) as caught:
        read_device(paths.device_file)

    assert "chmod" in caught.value.hint


def test_device_file_of_a_later_version_is_named(paths: Paths, login: Unlocked) -> None:
    """Not overwritten, not guessed."""
    text = paths.device_file.read_text().replace('"version": 1', '"version": 2')
    paths.device_file.write_text(text)

    with pytest.raises(InvalidInput, match="version 2"):
        read_device(paths.device_file)


def test_removed_device_is_gone(paths: Paths, login: Unlocked) -> None:
    """Twice is no error."""
    remove_device(paths.device_file)
    remove_device(paths.device_file)

    assert not paths.device_file.exists()
