"""Attachments' bytes: whole or not there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from commander.backend.storage.files import FileStore, file_name
from commander.errors import InvalidInput

pytestmark = pytest.mark.integration
UID, OTHER = "-" + "a" * 20 + "A", "b" * 21 + "A"


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    tmp_path.chmod(0o700)
    return FileStore(tmp_path / "files")


def names(store: FileStore) -> set[str]:
    return {path.name for path in store.directory.iterdir()}


def test_finished_file_is_read_back(store: FileStore) -> None:
    """0600, in a directory of its own."""
    with store.receive(UID, 6) as file:
        file.write(b"abc")
        file.write(b"def")
        file.finish()

    with store.open(UID, 6) as found:
        assert found.read() == b"abcdef"
    assert names(store) == {file_name(UID)}
    assert (store.directory / file_name(UID)).stat().st_mode & 0o777 == 0o600


def test_unfinished_file_leaves_nothing(store: FileStore) -> None:
    """Too short, too long, or given up."""
    with store.receive(UID, 6) as file, pytest.raises(InvalidInput, match="longer"):
        file.write(b"abcdefg")
    with store.receive(UID, 6) as file:
        file.write(b"abc")
        with pytest.raises(InvalidInput, match="shorter"):
            file.finish()

    assert names(store) == set()
    with pytest.raises(FileNotFoundError):
        store.open(UID, 6)


def test_file_of_another_size_is_not_served(store: FileStore) -> None:
    """A disk that lost the end of a file is found out."""
    with store.receive(UID, 3) as file:
        file.write(b"abc")
        file.finish()

    with pytest.raises(FileNotFoundError):
        store.open(UID, 4)


def test_sweep_keeps_what_is_needed_only(store: FileStore) -> None:
    """Orphans and unfinished files go."""
    assert store.sweep([]) == 0
    for uid in (UID, OTHER):
        with store.receive(uid, 0) as file:
            file.finish()
    (store.directory / ".new-left").write_bytes(b"half")

    assert store.sweep([UID]) == 2
    assert names(store) == {file_name(UID)}
    store.forget([UID, OTHER])
    assert names(store) == set()


def test_room_is_kept_for_the_database(store: FileStore) -> None:
    """No attachment may fill the disk to its end."""
    free = os.statvfs(store.directory.parent)

    assert store.has_room(1)
    assert not store.has_room(free.f_bavail * free.f_frsize)


_PROGRAM = """
import sys, signal, os
from pathlib import Path
from commander.backend.storage import files
store = files.FileStore(Path(sys.argv[1]))
step = int(sys.argv[2])
count = 0
for name in ("open", "fsync", "close", "rename", "replace"):
    real = getattr(os, name)
    def at(*values, _real=real, **named):
        global count
        count += 1
        if count == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return _real(*values, **named)
    setattr(os, name, at)
with store.receive("b" * 21 + "A", 3) as file:
    file.write(b"abc")
    file.finish()
print("done")
"""


@pytest.mark.parametrize("step", range(1, 8))
def test_killed_at_any_step_it_is_whole_or_absent(store: FileStore, step: int) -> None:
    """kill -9 before each call to the system; the sweep removes what nobody knows."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(store.directory), str(step)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode in (0, -signal.SIGKILL), done.stderr

    try:
        with store.open(OTHER, 3) as found:
            assert found.read() == b"abc"
    except FileNotFoundError:
        assert done.stdout == ""
    store.sweep([OTHER])
    if store.directory.exists():
        assert names(store) <= {file_name(OTHER)}
