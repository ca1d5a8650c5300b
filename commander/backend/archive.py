"""
Backups: one file with the store and every key of a data directory. Keep it as secret as those.

    "commander-backup" 0x01 0x0a | for each part: u16 length of name | name | u64 size | bytes
    | SHA-256 of all before

Parts are `server.db` (made by SQLite's own online copy, so it is whole while the server runs), the
certificate files, and after them `files/NAME` for each attachment, ciphertext as it lies there. Read
and written piece by piece, whatever the size. An attachment that is removed while the backup runs
may be in the store and not among the files; one that comes meanwhile the other way round.
"""

from __future__ import annotations

import hashlib
import os
import re
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, Protocol

from commander.backend.storage.files import FILES, NAME_CHARACTERS
from commander.errors import CommanderError, Conflict, InvalidInput
from commander.files import (
    PRIVATE_DIRECTORY,
    PRIVATE_FILE,
    check_private_file,
    make_private_directory,
)

MAGIC = b"commander-backup\x01\n"
STORE = "server.db"
KEY_FILES = ("ca.pem", "ca.key", "tls.pem", "tls.key")
_PARTS = (STORE, *KEY_FILES)
_ATTACHMENT = re.compile(rf"{FILES}/[0-9a-f]{{{NAME_CHARACTERS}}}", re.ASCII)
_PIECE = 1024 * 1024
_DIGEST_BYTES = 32


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...

    def digest(self) -> bytes: ...


def write_backup(data: Path, target: Path, *, overwrite: bool) -> int:
    """
    Copy a data directory, also of a running server, into one file, 0600; returns its size.

    Raises Conflict when the file exists, CommanderError when there is no store or no space.
    """
    if target.exists() and not overwrite:
        raise Conflict(f"{target} exists", hint="give another name, or --force")
    if not (data / STORE).exists():
        raise CommanderError(f"{data} holds no server", hint="give --data DIR")
    beside = target.with_name(f".{target.name}.{os.getpid()}.new")
    try:
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".backup-") as scratch:
            copy = Path(scratch) / STORE
            _copy_store(data / STORE, copy)
            # After the store: what its rows name is there then, or was removed since.
            names = (*KEY_FILES, *_attachments(data))
            _write_parts(beside, {STORE: copy, **{name: data / name for name in names}})
        beside.replace(target)
    except (OSError, sqlite3.Error) as error:
        raise CommanderError(
            f"{target} could not be written: {error}", hint="check space and rights"
        ) from error
    finally:
        beside.unlink(missing_ok=True)
    return target.stat().st_size


def restore_backup(source: Path, data: Path, *, overwrite: bool) -> None:
    """
    Make a data directory from a backup. The server must not be running on it.

    Everything is checked before anything is replaced. Raises Conflict when the directory is not
    empty, InvalidInput when the file is damaged or no backup.
    """
    make_private_directory(data)
    if any(data.iterdir()) and not overwrite:
        raise Conflict(f"{data} is not empty", hint="give another --data, or --force")
    with tempfile.TemporaryDirectory(dir=data, prefix=".restore-") as scratch:
        found = _read_parts(source, Path(scratch))
        _check_store(Path(scratch) / STORE, source)
        for suffix in ("-wal", "-shm"):
            (data / (STORE + suffix)).unlink(missing_ok=True)
        for name in KEY_FILES:
            if name not in found:
                (data / name).unlink(missing_ok=True)
        if (data / FILES).exists():
            (data / FILES).replace(Path(scratch) / "files-before")
        for name in dict.fromkeys(name.partition("/")[0] for name in found):
            (Path(scratch) / name).replace(data / name)


def _attachments(data: Path) -> list[str]:
    directory = data / FILES
    names = sorted(f"{FILES}/{path.name}" for path in directory.glob("*"))
    return [name for name in names if _ATTACHMENT.fullmatch(name)]


def _copy_store(source: Path, target: Path) -> None:
    _create(target).close()
    with (
        closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as old,
        closing(sqlite3.connect(target)) as new,
    ):
        old.execute("PRAGMA busy_timeout=10000")
        old.backup(new, pages=1024, sleep=0.01)
        new.execute("PRAGMA journal_mode=DELETE")


def _create(path: Path) -> IO[bytes]:
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, PRIVATE_FILE), "wb")


def _write_parts(target: Path, parts: dict[str, Path]) -> None:
    with _create(target) as file:
        digest = hashlib.sha256()
        _put(file, digest, MAGIC)
        for name, path in parts.items():
            try:
                check_private_file(path)
                source = path.open("rb")
            except FileNotFoundError:
                continue
            with source:
                size = os.fstat(source.fileno()).st_size
                head = len(name).to_bytes(2, "big") + name.encode() + size.to_bytes(8, "big")
                _put(file, digest, head)
                for piece in _pieces(source, size, target):
                    _put(file, digest, piece)
        file.write(digest.digest())
        file.flush()
        os.fsync(file.fileno())


def _put(file: IO[bytes], digest: _Hash, data: bytes) -> None:
    file.write(data)
    digest.update(data)


def _pieces(file: IO[bytes], size: int, name: Path) -> Iterator[bytes]:
    while size:
        piece = file.read(min(_PIECE, size))
        if not piece:
            raise InvalidInput(f"{name} is cut off")
        size -= len(piece)
        yield piece


def _read_parts(source: Path, directory: Path) -> list[str]:
    with _open_backup(source) as file:
        _check_digest(file, source)
        left = os.fstat(file.fileno()).st_size - len(MAGIC) - _DIGEST_BYTES
        file.seek(len(MAGIC))
        found: dict[str, None] = {}
        while left:
            length = int.from_bytes(file.read(2), "big")
            name = file.read(min(length, 64)).decode("ascii", "replace")
            size = int.from_bytes(file.read(8), "big")
            left -= 10 + length + size
            # Names are compared with a closed list, so that no part can write elsewhere.
            known = name in _PARTS or _ATTACHMENT.fullmatch(name)
            if not known or name in found or left < 0:
                raise InvalidInput(f"{source} is not a backup of this version")
            (directory / name).parent.mkdir(mode=PRIVATE_DIRECTORY, exist_ok=True)
            with _create(directory / name) as target:
                for piece in _pieces(file, size, source):
                    target.write(piece)
                target.flush()
                os.fsync(target.fileno())
            found[name] = None
    if STORE not in found:
        raise InvalidInput(f"{source} holds no store")
    return list(found)


@contextmanager
def _open_backup(source: Path) -> Iterator[IO[bytes]]:
    try:
        file = source.open("rb")
    except OSError as error:
        raise InvalidInput(f"{source} cannot be read: {error.strerror}") from None
    with file:
        yield file


def _check_digest(file: IO[bytes], source: Path) -> None:
    size = os.fstat(file.fileno()).st_size - _DIGEST_BYTES
    if size < len(MAGIC) or file.read(len(MAGIC)) != MAGIC:
        raise InvalidInput(f"{source} is not a backup", hint="commander-server backup makes one")
    digest = hashlib.sha256(MAGIC)
    for piece in _pieces(file, size - len(MAGIC), source):
        digest.update(piece)
    if file.read() != digest.digest():
        raise InvalidInput(f"{source} is damaged", hint="use another backup")


def _check_store(path: Path, source: Path) -> None:
    try:
        with closing(sqlite3.connect(path)) as connection:
            (found,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    except sqlite3.Error as error:
        raise InvalidInput(f"the store in {source} is damaged: {error}") from None
    if found != "ok":
        raise InvalidInput(f"the store in {source} is damaged", hint="use another backup")
