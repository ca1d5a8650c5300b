"""
cache.bin: the replica between two starts, one sealed file.

    0x01 | u64 log position + 1 | u64 cursor | AES-256-GCM(derive(DK, "cache"), Snapshot, aad = header, user)

Of two shells that write at once the one that has seen more wins; what the other lacks it fetches
again. A file that does not open is dropped: everything in it can be fetched and verified anew,
from the root that device.json pins.
"""

from __future__ import annotations

import fcntl
import logging
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from commander.codec import decode, encode
from commander.crypto import aead
from commander.crypto.encoding import encode as canonical
from commander.crypto.kdf import derive
from commander.errors import InvalidInput, SealBroken
from commander.files import make_private_directory, read_private, write_private
from commander.vault.replica import VERSION, Snapshot

_log = logging.getLogger(__name__)
_HEADER = struct.Struct(">BQQ")


class Store:
    """The sealed file of one user."""

    def __init__(self, path: Path, data_key: bytes, user: str) -> None:
        self._path = path
        self._key = derive(data_key, "cache", user)
        self._user = user

    def load(self) -> Snapshot | None:
        """What was stored, or None when there is nothing usable."""
        try:
            data = read_private(self._path)
        except FileNotFoundError:
            return None
        header, sealed = data[: _HEADER.size], data[_HEADER.size :]
        try:
            raw = aead.open_sealed(self._key, sealed, self._bound(header))
            snapshot = decode(Snapshot, raw, limit=aead.MAX_BYTES)
        except (SealBroken, InvalidInput):
            _log.warning("the local copy of the vault does not open; it is fetched anew")
            return None
        if snapshot.version != VERSION or snapshot.user != self._user:
            return None
        return snapshot

    def save(self, snapshot: Snapshot) -> None:
        """Replace the file, unless another process has stored a newer state of it."""
        make_private_directory(self._path.parent)
        with self._locked():
            header = _HEADER.pack(VERSION, len(snapshot.statements), snapshot.cursor)
            if self._is_newer(header):
                return
            sealed = aead.seal(self._key, encode(snapshot), self._bound(header))
            write_private(self._path, header + sealed)

    def remove(self) -> None:
        """Forget everything; idempotent."""
        self._path.unlink(missing_ok=True)

    def _bound(self, header: bytes) -> bytes:
        return canonical("cache", header, self._user)

    def _is_newer(self, header: bytes) -> bool:
        try:
            with self._path.open("rb") as file:
                stored = file.read(_HEADER.size)
        except OSError:
            return False
        if len(stored) != _HEADER.size or stored[0] != VERSION:
            return False
        _, stored_log, stored_cursor = _HEADER.unpack(stored)
        _, log, cursor = _HEADER.unpack(header)
        if (stored_log, stored_cursor) <= (log, cursor):
            return False
        # Another user's file is no newer state of ours.
        return self.load() is not None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        path = self._path.with_name(f"{self._path.name}.lock")
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)
