"""
The bytes of attachments: ciphertext, one file each, in a directory beside the store.

A file gets its name only when it is whole and on the disk, and the store says `uploaded` only
after that; so nothing half written is ever served, whenever the machine stops. What a crash
leaves behind (an unfinished file, one that no row knows) is swept at the next start.
"""

from __future__ import annotations

import base64
import logging
import os
import secrets
from collections.abc import Collection
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from commander.backend.storage.database import Transaction
from commander.errors import InvalidInput
from commander.files import PRIVATE_FILE, make_private_directory

_log = logging.getLogger(__name__)
FILES = "files"
NAME_CHARACTERS = 32
_UNFINISHED = ".new-"
# Kept free, so that attachments never keep the database from writing.
_RESERVE_BYTES = 256 * 1024 * 1024


def file_name(uid: str) -> str:
    """The name of an attachment's file: hexadecimal, since not every file system minds case."""
    return base64.urlsafe_b64decode(uid + "==").hex()


class FileStore:
    """A directory of attachments; every method but `forget_after` may block on the disk."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def open(self, uid: str, size: int) -> IO[bytes]:
        """
        A whole attachment to read from. Raises FileNotFoundError when it is not there in this size.
        """
        path = self.directory / file_name(uid)
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        file = os.fdopen(handle, "rb")
        if os.fstat(handle).st_size != size:
            file.close()
            raise FileNotFoundError(path)
        return file

    def receive(self, uid: str, size: int) -> Incoming:
        """Begin to write an attachment. Raises OSError."""
        make_private_directory(self.directory)
        return Incoming(self.directory, uid, size)

    def has_room(self, size: int) -> bool:
        """Whether an attachment of this size leaves the database room to breathe."""
        found = os.statvfs(self.directory.parent)
        return found.f_bavail * found.f_frsize >= size + _RESERVE_BYTES

    def forget(self, uids: Collection[str]) -> None:
        """Remove attachments; what can't be removed now is swept at the next start."""
        for uid in uids:
            try:
                (self.directory / file_name(uid)).unlink(missing_ok=True)
            except OSError as error:
                _log.error("an attachment's file stays: %s", error)

    def forget_after(self, transaction: Transaction, uids: Collection[str]) -> None:
        """Remove attachments once the transaction that forgets them is on the disk."""
        if uids:
            transaction.on_commit(lambda: self.forget(uids))

    def sweep(self, keep: Collection[str]) -> int:
        """Remove everything that no attachment needs; at the start, while nobody writes."""
        if not self.directory.exists():
            return 0
        names = {file_name(uid) for uid in keep}
        gone = [path for path in self.directory.iterdir() if path.name not in names]
        for path in gone:
            path.unlink(missing_ok=True)
        return len(gone)


class Incoming:
    """An attachment being written; a context manager that leaves nothing behind unless finished."""

    def __init__(self, directory: Path, uid: str, size: int) -> None:
        self._directory = directory
        self._target = directory / file_name(uid)
        self._left = size
        self._path = directory / f"{_UNFINISHED}{secrets.token_hex(8)}"
        handle = os.open(
            self._path,
            os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC,
            PRIVATE_FILE,
        )
        self._file = os.fdopen(handle, "wb", buffering=0)

    def write(self, data: bytes) -> None:
        """Append. Raises InvalidInput past the announced size, OSError."""
        if len(data) > self._left:
            raise InvalidInput("the file is longer than was announced")
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]
        self._left -= len(data)

    def finish(self) -> None:
        """Give the file its name, on the disk. Raises InvalidInput when it is too short, OSError."""
        if self._left:
            raise InvalidInput("the file is shorter than was announced")
        os.fsync(self._file.fileno())
        self._path.replace(self._target)
        handle = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)
