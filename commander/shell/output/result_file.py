from __future__ import annotations

import os
import stat
from pathlib import Path

from commander.errors import CommanderError, Conflict
from commander.files import PRIVATE_FILE, write_private


def write_result(path: Path, data: bytes, *, force: bool) -> None:
    """
    Write a result to a new file, 0600; with `force` a plain file is replaced at once.

    Links, directories, devices and FIFOs are never written to or through.
    Raises Conflict when something stands there, CommanderError when the disk refuses.
    """
    try:
        found = path.lstat()
    except FileNotFoundError:
        _create(path, data)
        return
    except OSError as error:
        raise _refused(path, error) from error
    if not stat.S_ISREG(found.st_mode):
        raise Conflict(f"{path} is not a plain file", hint="choose another name")
    if not force:
        raise Conflict(f"{path} exists", hint="--force replaces it")
    write_private(path, data)


def _create(path: Path, data: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        handle = os.open(path, flags, PRIVATE_FILE)
    except FileExistsError as error:
        raise Conflict(f"{path} exists", hint="--force replaces it") from error
    except OSError as error:
        raise _refused(path, error) from error
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise _refused(path, error) from error


def _refused(path: Path, error: OSError) -> CommanderError:
    return CommanderError(f"{path} cannot be written: {error.strerror}", hint="check the path")
