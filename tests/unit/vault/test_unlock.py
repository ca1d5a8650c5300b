"""What is kept between two processes: device.json, the kept login, the sealed cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from commander.clock import ManualClock
from commander.config.paths import Paths
from commander.errors import NotLoggedIn
from commander.vault.device import write_device
from commander.vault.unlock import (
    Unlocked,
    check_login,
    forget_login,
    keep_login,
    resume_login,
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


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def test_kept_login_is_resumed(paths: Paths, login: Unlocked, clock: ManualClock) -> None:
    """Session, data key and identity come back in another process."""
    keep_login(paths, login, clock)

    found = resume_login(paths, clock)

    assert (found.session, found.data_key) == (login.session, login.data_key)
    assert found.identity.sign.raw() == login.identity.sign.raw()


def test_neither_file_alone_holds_the_keys(
    paths: Paths, login: Unlocked, clock: ManualClock
) -> None:
    """The session and the data key are in no file in clear."""
    keep_login(paths, login, clock)

    stored = paths.unlock_file.read_bytes() + paths.session_file.read_bytes()
    assert login.data_key not in stored
    assert b"session-name" not in stored


def test_idle_login_locks(paths: Paths, login: Unlocked, clock: ManualClock) -> None:
    """After half an hour without a command both files are gone."""
    keep_login(paths, login, clock)
    clock.advance(login.device.idle_s + 1)

    with pytest.raises(NotLoggedIn, match="30 minutes"):
        resume_login(paths, clock)

    assert not paths.unlock_file.exists()
    assert not paths.session_file.exists()


def test_used_login_stays(paths: Paths, login: Unlocked, clock: ManualClock) -> None:
    """Each use begins the half hour anew, in one-shot commands and in a session."""
    keep_login(paths, login, clock)
    for use in range(6):
        clock.advance(login.device.idle_s - 1)
        if use % 2:
            check_login(paths, clock)
        else:
            resume_login(paths, clock)

    assert resume_login(paths, clock).session == "session-name"


@pytest.mark.parametrize("seconds", [-3600.0, 300_000_000.0])
def test_clock_that_went_back_or_far_locks(
    paths: Paths, login: Unlocked, clock: ManualClock, seconds: float
) -> None:
    """A login from the future is no login just used; one past its session's end neither."""
    keep_login(paths, login, clock)
    clock.jump(seconds)

    with pytest.raises(NotLoggedIn):
        resume_login(paths, clock)


def test_forgotten_login_is_gone(paths: Paths, login: Unlocked, clock: ManualClock) -> None:
    """Twice is no error; a session that lasts hears of it at its next command."""
    keep_login(paths, login, clock)
    check_login(paths, clock)
    forget_login(paths)
    forget_login(paths)

    with pytest.raises(NotLoggedIn):
        resume_login(paths, clock)
    with pytest.raises(NotLoggedIn, match="meanwhile"):
        check_login(paths, clock)


def test_idle_session_locks_at_its_next_command(
    paths: Paths, login: Unlocked, clock: ManualClock
) -> None:
    """Also one that was never left, and one whose file was damaged."""
    keep_login(paths, login, clock)
    clock.advance(login.device.idle_s + 1)
    with pytest.raises(NotLoggedIn, match="30 minutes"):
        check_login(paths, clock)

    keep_login(paths, login, clock)
    paths.unlock_file.write_bytes(b"{}")
    with pytest.raises(NotLoggedIn):
        check_login(paths, clock)


@pytest.mark.parametrize("name", ["unlock_file", "session_file"])
def test_damaged_login_locks(paths: Paths, login: Unlocked, clock: ManualClock, name: str) -> None:
    """Any truncation of either file means logging in again, nothing else."""
    for share in (0.0, 0.3, 0.9):
        keep_login(paths, login, clock)
        path: Path = getattr(paths, name)
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * share)])

        with pytest.raises(NotLoggedIn):
            resume_login(paths, clock)
