"""Files that must survive a crash and must not be readable by others."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from commander.errors import CommanderError, InvalidInput

PRIVATE_DIRECTORY = 0o700
PRIVATE_FILE = 0o600


def make_private_directory(path: Path) -> None:
    """
    Create a directory 0700, and its missing parents so too.

    Raises InvalidInput when something else is there or others may enter it, CommanderError
    when the system refuses.
    """
    try:
        _make_missing(path)
        found = path.lstat()
    except OSError as error:
        raise CommanderError(
            f"{path} could not be made: {error.strerror}", hint="check space and rights"
        ) from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise InvalidInput(f"{path} is not a directory of this user", hint=f"remove {path}")
    if found.st_mode & 0o077:
        raise InvalidInput(f"{path} can be read by other users", hint=f"chmod 700 {path}")


def check_own_directory(path: Path) -> None:
    """Raise InvalidInput when others could put another file in the place of one in this directory."""
    found = path.stat()
    if not stat.S_ISDIR(found.st_mode):
        raise InvalidInput(f"{path} is not a directory", hint=f"move {path} away")
    if found.st_uid not in (os.geteuid(), 0):
        raise InvalidInput(f"{path} belongs to another user", hint="name a directory of your own")
    if found.st_mode & 0o022 and not found.st_mode & stat.S_ISVTX:
        raise InvalidInput(f"{path} can be written by other users", hint=f"chmod go-w {path}")


def _make_missing(path: Path) -> None:
    # pathlib gives missing parents the mode of the umask, and a later call for one
    # of them would then refuse it.
    missing = []
    while not os.path.lexists(path):
        missing.append(path)
        path = path.parent
    for directory in reversed(missing):
        directory.mkdir(mode=PRIVATE_DIRECTORY, exist_ok=True)


def check_private_file(path: Path) -> None:
    """Raise InvalidInput unless the path is a plain file of this user with mode 0600 or less."""
    _check_private(path, path.lstat())


def _check_private(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise InvalidInput(f"{path} is not a plain file", hint=f"move {path} away")
    if found.st_uid not in (os.geteuid(), 0):
        raise InvalidInput(f"{path} belongs to another user", hint=f"chown {os.geteuid()} {path}")
    if found.st_mode & 0o077:
        raise InvalidInput(f"{path} can be read by other users", hint=f"chmod 600 {path}")


def read_private(path: Path, *, limit: int = 64 * 1024 * 1024) -> bytes:
    """
    Read a private file. Raises FileNotFoundError, or InvalidInput when others may
    read it, it is a link, or it is longer than `limit` bytes.
    """
    check_private_file(path)
    # What was checked may have been exchanged since: the open file is checked again, and
    # without O_NONBLOCK a pipe put in its place would hold us up.
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        _check_private(path, os.fstat(handle))
        with os.fdopen(handle, "rb", closefd=False) as file:
            data = file.read(limit + 1)
    finally:
        os.close(handle)
    if len(data) > limit:
        raise InvalidInput(f"{path} is larger than {limit} bytes")
    return data


def write_private(path: Path, data: bytes) -> None:
    """
    Replace a file at once, 0600: write a new one beside it, fsync, rename, fsync the directory.

    After a crash at any point either the old or the new content is there.
    Raises CommanderError when the disk refuses.
    """
    # The name is ours alone by pid; O_EXCL makes a planted file an error, not a target.
    beside = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        beside.unlink(missing_ok=True)
        _remove_abandoned(path)
        handle = os.open(
            beside,
            os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC,
            PRIVATE_FILE,
        )
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise CommanderError(
            f"{path} could not be written: {error.strerror}", hint="check space and rights"
        ) from error


def _remove_abandoned(path: Path) -> None:
    """Remove what processes that were killed in the middle of a write have left beside a file."""
    abandoned = re.compile(rf"\.{re.escape(path.name)}\.(\d{{1,9}})\.new")
    for name in os.listdir(path.parent):
        found = abandoned.fullmatch(name)
        if found and not is_process_alive(int(found[1])):
            path.with_name(name).unlink(missing_ok=True)


def is_process_alive(pid: int) -> bool:
    """Tell whether a process of this number exists, whoever's it is."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
