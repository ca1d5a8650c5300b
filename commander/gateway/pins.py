"""What a gateway has seen and never lets a server take back; a private file, replaced at once."""

from __future__ import annotations

import asyncio
from pathlib import Path

from commander.codec import Message, decode, encode
from commander.errors import CommanderError, InvalidInput, Tampered
from commander.files import read_private, write_private
from commander.wire.seals import Signed

VERSION = 1
LIMIT = 64 * 1024 * 1024
MAX_RECORDS = 50_000


class RecordPin(Message, frozen=True):
    """The last accepted seals of a record; `settings` None when it had none."""

    record: Signed
    settings: Signed | None


class PinFile(Message, frozen=True):
    """The whole file."""

    version: int
    log_seq: int
    log_head: bytes
    records: dict[str, RecordPin]


class Pins:
    """
    Log position and record seals that were accepted, kept across restarts.

    Raises Tampered when the file can't be read: going on without it would forget what
    protects from rollback.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._content = self._read()
        self._is_changed = False
        self._lock = asyncio.Lock()

    @property
    def log(self) -> tuple[int, bytes]:
        """The last accepted log position (-1 for none) and its hash."""
        return self._content.log_seq, self._content.log_head

    def record(self, uid: str) -> RecordPin | None:
        """The pin of a record."""
        return self._content.records.get(uid)

    def pin_log(self, seq: int, head: bytes) -> None:
        """Remember a position; `save` makes it last."""
        if (seq, head) != self.log:
            self._content = PinFile(VERSION, seq, head, self._content.records)
            self._is_changed = True

    def pin_record(self, uid: str, pin: RecordPin) -> None:
        """Remember a record's seals; `save` makes it last."""
        records = self._content.records
        if records.get(uid) == pin:
            return
        if uid not in records and len(records) >= MAX_RECORDS:
            raise InvalidInput(f"more than {MAX_RECORDS} records were used through this gateway")
        records[uid] = pin
        self._is_changed = True

    async def save(self) -> None:
        """Write what changed, one writer after the other. Raises CommanderError when the disk refuses."""
        async with self._lock:
            if not self._is_changed:
                return
            self._is_changed = False
            try:
                await asyncio.to_thread(write_private, self._path, encode(self._content))
            except CommanderError:
                self._is_changed = True
                raise

    def _read(self) -> PinFile:
        try:
            content = decode(PinFile, read_private(self._path, limit=LIMIT), limit=LIMIT)
        except FileNotFoundError:
            return PinFile(VERSION, -1, b"", {})
        except InvalidInput as error:
            raise Tampered(
                f"{self._path} is damaged: {error.message}",
                hint=f"restore it; or, if you trust the server now, remove {self._path}",
            ) from None
        if content.version != VERSION:
            raise InvalidInput(f"{self._path} is of another version", hint="update the gateway")
        return content
