from __future__ import annotations

import os
from pathlib import Path

import pytest

from commander.errors import CommanderError, Conflict
from commander.shell.output.render import Wanted, save
from commander.shell.output.result_file import write_result


def test_b009_a_new_file_is_private(tmp_path: Path) -> None:
    """The control: a new file is written with mode 0600 whatever the umask."""
    before = os.umask(0)
    try:
        write_result(tmp_path / "out", b"data", force=False)
    finally:
        os.umask(before)

    assert (tmp_path / "out").read_bytes() == b"data"
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o600


def test_b009_an_existing_file_needs_force(tmp_path: Path) -> None:
    """Without --force nothing is replaced; with it the content is, and the mode is 0600."""
    path = tmp_path / "out"
    path.write_bytes(b"old")
    with pytest.raises(Conflict, match="exists"):
        write_result(path, b"new", force=False)
    assert path.read_bytes() == b"old"

    write_result(path, b"new", force=True)

    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("kind", ["link", "dangling", "directory", "fifo", "device"])
def test_b009_only_plain_files_are_written(tmp_path: Path, kind: str, force: bool) -> None:
    """Links, directories, FIFOs and devices are refused, forced or not, and stay untouched."""
    target, path = tmp_path / "target", tmp_path / "out"
    target.write_bytes(b"untouched")
    if kind == "link":
        path.symlink_to(target)
    elif kind == "dangling":
        path.symlink_to(tmp_path / "nowhere")
    elif kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path = Path("/dev/null")
    with pytest.raises(Conflict, match="not a plain file"):
        write_result(path, b"x", force=force)

    assert target.read_bytes() == b"untouched"
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("name", ["no/such/dir/out", "x" * 300])
def test_what_the_system_refuses_is_an_error(tmp_path: Path, name: str) -> None:
    """A missing directory or an over-long name is said, without a trace."""
    with pytest.raises(CommanderError, match="cannot be written"):
        write_result(tmp_path / name, b"x", force=False)


def test_saving_tells_where(tmp_path: Path) -> None:
    """The user is told how much was written, and where."""
    wanted = Wanted(file=tmp_path / "out")

    assert save("é", wanted) == f"2 bytes written to {tmp_path / 'out'}"
