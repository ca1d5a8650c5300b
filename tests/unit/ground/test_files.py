from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from commander.errors import CommanderError, InvalidInput
from commander.files import make_private_directory, read_private, write_private


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.fixture
def wide_umask() -> Any:
    """The most permissive umask, which must not matter."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("wide_umask")
def test_written_file_is_private_and_reads_back(tmp_path: Path) -> None:
    """Mode 0600 whatever the umask, nothing left beside it."""
    path = tmp_path / "key"

    write_private(path, b"content")

    assert read_private(path) == b"content"
    assert mode_of(path) == 0o600
    assert os.listdir(tmp_path) == ["key"]


@pytest.mark.usefixtures("wide_umask")
def test_replacing_makes_a_wide_file_private(tmp_path: Path) -> None:
    """The new file has its own mode, not the old one's."""
    path = tmp_path / "key"
    path.write_bytes(b"old")
    path.chmod(0o666)

    write_private(path, b"new")

    assert (path.read_bytes(), mode_of(path)) == (b"new", 0o600)


def test_link_is_replaced_and_its_target_untouched(tmp_path: Path) -> None:
    """A planted link does not send a secret elsewhere."""
    target, path = tmp_path / "target", tmp_path / "key"
    target.write_bytes(b"theirs")
    path.symlink_to(target)

    write_private(path, b"ours")

    assert target.read_bytes() == b"theirs"
    assert not path.is_symlink()


def test_planted_new_file_is_not_written_through(tmp_path: Path) -> None:
    """A link under the name of the file beside is removed, never followed."""
    target, path = tmp_path / "target", tmp_path / "key"
    target.write_bytes(b"theirs")
    (tmp_path / f".key.{os.getpid()}.new").symlink_to(target)

    write_private(path, b"ours")

    assert (target.read_bytes(), read_private(path)) == (b"theirs", b"ours")


FAULTS: list[tuple[str, Any]] = [("fsync", os), ("open", os), ("replace", Path)]


@pytest.mark.parametrize(("name", "owner"), FAULTS, ids=[name for name, _ in FAULTS])
def test_failed_write_leaves_the_old_file_and_nothing_else(
    name: str, owner: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever call fails for want of space, the old content is there and the error says why."""
    path = tmp_path / "key"
    write_private(path, b"old")

    def fail(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(owner, name, fail)
    with pytest.raises(CommanderError, match="No space left on device") as caught:
        write_private(path, b"new")
    monkeypatch.undo()

    assert str(path) in str(caught.value)
    assert caught.value.hint == "check space and rights"
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["key"]


def test_write_into_a_missing_directory_is_an_error_of_ours(tmp_path: Path) -> None:
    """No bare OSError comes out."""
    with pytest.raises(CommanderError, match="could not be written"):
        write_private(tmp_path / "no" / "key", b"x")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o620, 0o610, 0o666, 0o777])
def test_file_that_others_may_use_is_not_read(mode: int, tmp_path: Path) -> None:
    """Any right for group or others refuses the file, with the command that repairs it."""
    path = tmp_path / "key"
    write_private(path, b"x")
    path.chmod(mode)

    with pytest.raises(InvalidInput, match="other users") as caught:
        read_private(path)
    assert caught.value.hint == f"chmod 600 {path}"


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_private_file_is_read(mode: int, tmp_path: Path) -> None:
    """0600 and less are fine."""
    path = tmp_path / "key"
    write_private(path, b"x")
    path.chmod(mode)

    assert read_private(path) == b"x"


@pytest.mark.parametrize(
    "make", [lambda p: p.mkdir(mode=0o700), lambda p: os.mkfifo(p, 0o600),
             lambda p: p.symlink_to(p.with_name("other"))]
)  # fmt: skip
def test_what_is_no_plain_file_is_not_read(make: Callable[[Path], None], tmp_path: Path) -> None:
    """Directories, pipes (which would hang) and links are refused."""
    write_private(tmp_path / "other", b"x")
    make(tmp_path / "key")

    with pytest.raises(InvalidInput, match="not a plain file"):
        read_private(tmp_path / "key")


def test_missing_file_is_told_apart(tmp_path: Path) -> None:
    """Callers make a new one then."""
    with pytest.raises(FileNotFoundError):
        read_private(tmp_path / "key")


def test_size_is_bounded(tmp_path: Path) -> None:
    """One byte over the limit is refused; the limit itself is fine."""
    path = tmp_path / "key"
    write_private(path, b"12345")

    assert read_private(path, limit=5) == b"12345"
    with pytest.raises(InvalidInput, match="larger than 4 bytes"):
        read_private(path, limit=4)


@pytest.mark.usefixtures("wide_umask")
def test_made_directory_is_private(tmp_path: Path) -> None:
    """Mode 0700 whatever the umask, also when it is there already."""
    path = tmp_path / "home" / "run"

    make_private_directory(path)
    make_private_directory(path)

    assert mode_of(path) == 0o700


@pytest.mark.parametrize("mode", [0o750, 0o705, 0o777])
def test_directory_that_others_may_enter_is_refused(mode: int, tmp_path: Path) -> None:
    """It is not repaired behind the user's back: who opened it may have looked already."""
    path = tmp_path / "run"
    path.mkdir()
    path.chmod(mode)

    with pytest.raises(InvalidInput, match="other users") as caught:
        make_private_directory(path)
    assert caught.value.hint == f"chmod 700 {path}"


def test_link_or_file_in_place_of_a_directory_is_refused(tmp_path: Path) -> None:
    """A link to a directory could be anyone's."""
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "dangling").symlink_to(tmp_path / "no")
    (tmp_path / "file").write_bytes(b"")

    for name in ("link", "dangling", "file"):
        with pytest.raises(InvalidInput, match="not a directory of this user"):
            make_private_directory(tmp_path / name)


@pytest.mark.usefixtures("wide_umask")
def test_missing_parents_are_private_too(tmp_path: Path) -> None:
    """Making `run` first does not leave a home that is refused later."""
    home = tmp_path / "home"

    make_private_directory(home / "a" / "run")
    make_private_directory(home)

    assert [mode_of(p) for p in (home, home / "a", home / "a" / "run")] == [0o700] * 3


def test_directory_under_a_file_is_an_error_of_ours(tmp_path: Path) -> None:
    """No bare OSError comes out."""
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(CommanderError, match="could not be made: Not a directory"):
        make_private_directory(tmp_path / "file" / "run")


@pytest.fixture
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory `run` with a file `key` that belong to another user (root can give them away)."""
    make_private_directory(tmp_path / "run")
    write_private(tmp_path / "run" / "key", b"x")
    if os.geteuid() == 0:
        for path in (tmp_path / "run", tmp_path / "run" / "key"):
            os.chown(path, 4242, -1)
    else:
        euid = os.geteuid()
        monkeypatch.setattr(os, "geteuid", lambda: euid + 1)
    return tmp_path / "run"


def test_what_belongs_to_another_user_is_refused(stranger: Path) -> None:
    """Another user's file or directory is not trusted, whatever its mode."""
    with pytest.raises(InvalidInput, match="belongs to another user"):
        read_private(stranger / "key")
    with pytest.raises(InvalidInput, match="not a directory of this user"):
        make_private_directory(stranger)


@pytest.mark.parametrize("swap", [lambda p: os.mkfifo(p, 0o600), lambda p: p.mkdir(mode=0o700)])
def test_file_exchanged_after_the_check_is_not_read(
    swap: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between look and open something else may come: it is refused and holds nothing up."""
    path = tmp_path / "key"
    write_private(path, b"x")
    good = path.lstat()
    path.unlink()
    swap(path)
    monkeypatch.setattr(Path, "lstat", lambda self: good)

    with pytest.raises(InvalidInput, match="not a plain file"):
        read_private(path)


def test_what_a_killed_writer_left_is_removed(tmp_path: Path) -> None:
    """The next write clears halves of dead processes, never those of living ones or other files."""
    path = tmp_path / "key"
    dead, living = tmp_path / ".key.999999999.new", tmp_path / f".key.{os.getppid()}.new"
    other = tmp_path / ".other.999999999.new"
    for half in (dead, living, other):
        half.touch()

    write_private(path, b"x")

    assert not dead.exists()
    assert living.exists()
    assert other.exists()
