"""
The gateway's audit chain on disk: intent before the effect, outcome after, uploaded at least once.

    outbox = entry*        entry = u32 big-endian length | bytes of audit.chain.Entry

Appended and fsynced before anyone may act on it. A torn entry at the end (power loss) is cut off:
nothing acted on it. Entries stay until the server has stored them; the last one stays always,
since the chain goes on from it.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from commander.audit.chain import EMPTY, MAX_ENTRY_BYTES, ChainHead, ChainWriter, Entry
from commander.audit.events import Event, TunnelIntent, TunnelOutcome
from commander.authority.refusals import Code
from commander.clock import Clock
from commander.crypto.signing import SigningKey
from commander.errors import CommanderError, InvalidInput, Refused, Tampered
from commander.files import PRIVATE_FILE, check_private_file, write_private
from commander.gateway.limits import COMPACT_BYTES, OUTBOX_BYTES, UPLOAD_BATCH

_log = logging.getLogger(__name__)
_LENGTH = 4
Upload = Callable[[tuple[bytes, ...]], Awaitable[int]]
"""Hands entries to the server; returns the last sequence it has stored. Raises CommanderError."""


def read_outbox(data: bytes) -> tuple[list[Entry], int]:
    """All whole entries and the number of bytes they take. Pure. Raises Tampered for a damaged one."""
    entries: list[Entry] = []
    at = 0
    while at + _LENGTH <= len(data):
        size = int.from_bytes(data[at : at + _LENGTH], "big")
        # A file system may lengthen a file before it writes the bytes: zeros are a torn end too.
        is_torn = at + _LENGTH + size > len(data) or not any(data[at:])
        if is_torn and size <= MAX_ENTRY_BYTES:
            break
        try:
            if size > MAX_ENTRY_BYTES:
                raise InvalidInput("an entry is longer than any")
            entries.append(Entry.parse(data[at + _LENGTH : at + _LENGTH + size]))
        except InvalidInput as error:
            raise Tampered(f"the audit outbox is damaged at byte {at}: {error.message}") from None
        at += _LENGTH + size
    return entries, at


def frame(entry: Entry) -> bytes:
    """An entry as it stands in the outbox."""
    raw = entry.to_bytes()
    return len(raw).to_bytes(_LENGTH, "big") + raw


def open_intents(entries: list[Entry]) -> list[TunnelIntent]:
    """Tunnels that were begun and of which nothing else is known. Pure."""
    found: dict[str, TunnelIntent] = {}
    for entry in entries:
        if entry.kind not in ("tunnel-intent", "tunnel-outcome"):
            continue
        event = entry.event()
        if isinstance(event, TunnelIntent):
            found[event.conversation] = event
        elif isinstance(event, TunnelOutcome):
            found.pop(event.conversation, None)
    return list(found.values())


def unknown_outcome(intent: TunnelIntent) -> TunnelOutcome:
    """What is written for an intent whose process died."""
    return TunnelOutcome(
        conversation=intent.conversation,
        user=intent.user,
        record=intent.record,
        code="unknown",
        path="",
        duration_ms=0,
        bytes_to_target=0,
        bytes_from_target=0,
        streams=0,
        streams_refused=0,
        programs="",
        reason="the gateway ended without writing an outcome",
    )


class AuditOutbox:
    """
    Writes events durably, one after the other, and uploads them in the background.

    `write` returns when the event is on disk and raises Refused(audit-unavailable) when it is
    not: then do nothing that needs it.
    """

    def __init__(
        self, path: Path, *, producer: str, key: SigningKey, clock: Clock, upload: Upload
    ) -> None:
        self._path = path
        self._clock = clock
        self._upload = upload
        self._lock = asyncio.Lock()
        self._news = asyncio.Event()
        self._entries: list[Entry] = []
        self._stored = 0
        self._size = 0
        self._writer = ChainWriter(producer, key, self._load())

    def _load(self) -> ChainHead:
        try:
            check_private_file(self._path)
            data = self._path.read_bytes()
        except FileNotFoundError:
            write_private(self._path, b"")
            return EMPTY
        self._entries, whole = read_outbox(data)
        if whole < len(data):
            _log.warning("the audit outbox ended in the middle of an entry, which is cut off")
            os.truncate(self._path, whole)
        self._size = whole
        self._news.set()
        return ChainHead.after(self._entries[-1]) if self._entries else EMPTY

    async def recover(self) -> int:
        """Write `unknown` for every tunnel that a dead process left open; returns how many."""
        intents = open_intents(self._entries)
        for intent in intents:
            await self.write(unknown_outcome(intent))
        return len(intents)

    async def write(self, event: Event) -> None:
        """Put an event on disk. Raises Refused(audit-unavailable)."""
        async with self._lock:
            try:
                entry = self._writer.seal(event, time_ms=max(0, int(self._clock.now() * 1000)))
                raw = frame(entry)
                if self._size + len(raw) > OUTBOX_BYTES:
                    raise CommanderError(f"{self._path} is full, the server takes no events")
                await _finish(asyncio.to_thread(self._append, raw))
            except (OSError, CommanderError) as error:
                self._writer.rewind()
                _log.error("an audit event could not be written: %s", error)
                raise Refused(
                    "the gateway cannot write its audit log", code=Code.AUDIT_UNAVAILABLE
                ) from error
            self._writer.confirm(entry)
            self._entries.append(entry)
            self._size += len(raw)
            self._news.set()

    def _append(self, raw: bytes) -> None:
        flags = os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        handle = os.open(self._path, flags, PRIVATE_FILE)
        try:
            _write_all(handle, raw, self._size)
            # What a failed attempt left behind must not follow a shorter entry.
            os.ftruncate(handle, self._size + len(raw))
            os.fsync(handle)
        except OSError:
            os.ftruncate(handle, self._size)
            raise
        finally:
            os.close(handle)

    @property
    def waiting(self) -> int:
        """Events that the server does not have yet."""
        return sum(entry.sequence > self._stored for entry in self._entries)

    @property
    def size_bytes(self) -> int:
        """Bytes that the outbox takes on disk."""
        return self._size

    async def upload_once(self) -> bool:
        """Hand the next batch to the server; False when nothing waits. Raises CommanderError."""
        batch = [entry for entry in self._entries if entry.sequence > self._stored][:UPLOAD_BATCH]
        if not batch:
            return False
        stored = await self._upload(tuple(entry.to_bytes() for entry in batch))
        if not batch[0].sequence <= stored <= self._writer.head.sequence:
            raise CommanderError(f"the server stored up to {stored}, which was not sent")
        self._stored = stored
        await self._compact()
        return True

    async def wait_for_news(self) -> None:
        """Return once something was written since the last call."""
        await self._news.wait()
        self._news.clear()

    async def _compact(self) -> None:
        """Drop what the server has, but for the chain's last entry and tunnels still open."""
        async with self._lock:
            if self._size < COMPACT_BYTES:
                return
            live = {intent.conversation for intent in open_intents(self._entries)}
            last = len(self._entries) - 1
            kept = [
                entry
                for number, entry in enumerate(self._entries)
                if number == last or entry.sequence > self._stored or _is_intent(entry, live)
            ]
            data = b"".join(frame(entry) for entry in kept)
            await _finish(asyncio.to_thread(write_private, self._path, data))
            self._entries, self._size = kept, len(data)


def _write_all(handle: int, data: bytes, offset: int) -> None:
    """Write everything or raise OSError: a disk that fills up takes a part without complaint."""
    view = memoryview(data)
    while view:
        written = os.pwrite(handle, view, offset)
        view, offset = view[written:], offset + written


def _is_intent(entry: Entry, conversations: set[str]) -> bool:
    if entry.kind != "tunnel-intent":
        return False
    event = entry.event()
    return isinstance(event, TunnelIntent) and event.conversation in conversations


async def _finish(work: Awaitable[None]) -> None:
    """Await work that must not be left half done; a cancellation comes through after it."""
    task = asyncio.ensure_future(work)  # noqa: TID251  a thread's future, awaited right here
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise
