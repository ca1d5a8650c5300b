"""Files that must survive a crash and must not be readable by others."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from commander.errors import CommanderError, InvalidInput

PRIVATE_DIRECTORY = 0o700
PRIVATE_FILE = 0o600


def make_private_directory(path: Path) -> None:
    """Create a directory 0700 with its parents. Raises InvalidInput when others may enter it."""
    path.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise InvalidInput(f"{path} is not a directory of this user", hint=f"remove {path}")
    if found.st_mode & 0o077:
        raise InvalidInput(f"{path} can be read by other users", hint=f"chmod 700 {path}")


def check_private_file(path: Path) -> None:
    """Raise InvalidInput unless the path is a plain file of this user with mode 0600 or less."""
    found = path.lstat()
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
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        data = file.read(limit + 1)
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
