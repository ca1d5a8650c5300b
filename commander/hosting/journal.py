"""
The log of one tunnel: JSON lines in the runtime directory, 0600, never payload.

    {"time": "2026-11-21T10:00:00Z", "event": "stream-opened", "stream": 1, "program": "psql"}

A file is rotated once to `.1` at 10 MB; logs of ended tunnels are removed after 7 days.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

from commander.clock import Clock, iso_utc
from commander.files import PRIVATE_FILE, make_private_directory

ROTATE_BYTES = 10 * 1000 * 1000
KEEP_S = 7 * 24 * 3600
LINE_LIMIT = 16 * 1024
OPENED = "tunnel-opened"
CLOSED = "tunnel-closed"

Value = str | int | float | bool | None


class Journal:
    """
    Writes one tunnel's log. A full disk loses lines of the log, never the tunnel:
    `lost_lines` counts them.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self.lost_lines = 0
        make_private_directory(path.parent)
        self._handle = self._open()
        self._size = os.fstat(self._handle).st_size

    def write(self, event: str, **values: Value) -> None:
        """Append one line; nothing once closed."""
        if self._handle < 0:
            return
        entry = {"time": iso_utc(self._clock.now()), "event": event, **values}
        line = json.dumps(entry, ensure_ascii=True).encode()[:LINE_LIMIT] + b"\n"
        try:
            if self._size + len(line) > ROTATE_BYTES:
                self._rotate()
            os.write(self._handle, line)
            self._size += len(line)
        except OSError:
            self.lost_lines += 1

    def now(self) -> float:
        """The time by which lines are written, in seconds since 1970."""
        return self._clock.now()

    def close(self) -> None:
        """Close the file; idempotent."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def _open(self) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(self._path, flags, PRIVATE_FILE)

    def _rotate(self) -> None:
        os.close(self._handle)
        self._path.replace(self._path.with_suffix(".jsonl.1"))
        self._handle = self._open()
        self._size = 0


class Follower:
    """
    Reads a tunnel's log as it grows, through rotation; poll `new_lines` and then wait.

    Lines that are not JSON objects are left out.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("rb")
        self._rest = b""

    def new_lines(self) -> Iterator[dict[str, Value]]:
        """Entries written since the last call."""
        yield from self._drain()
        if self._was_rotated():
            yield from self._drain()
            self._file.close()
            self._file = self._path.open("rb")
            self._rest = b""
            yield from self._drain()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _was_rotated(self) -> bool:
        try:
            return self._path.stat().st_ino != os.fstat(self._file.fileno()).st_ino
        except FileNotFoundError:
            return False

    def _drain(self) -> Iterator[dict[str, Value]]:
        while chunk := self._file.read(256 * 1024):
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            self._rest = self._rest[-LINE_LIMIT:]
            for line in lines:
                entry = _parse(line)
                if entry is not None:
                    yield entry


def remove_old(directory: Path, *, now: float) -> None:
    """Remove logs that nobody has written for 7 days."""
    if not directory.is_dir():
        return
    for path in directory.glob("*.jsonl*"):
        try:
            if path.lstat().st_mtime < now - KEEP_S:
                path.unlink()
        except FileNotFoundError:
            continue


# What is told of paths and the end, for people; all other events list their values.
_SENTENCES = {
    "path-up": "{path}, generation {generation}",
    "path-lost": "{path}: {reason}",
    "interrupted": "connections wait; {reason}",
    "trying": "{paths}; {reason}",
    "failed": "{paths}: {reason} ({code})",
    "path-failed": "{path}: {reason}",
    "path-not-offered": "the gateway offers no {path} path for this record",
    "resumed": "over {path} after {after_s} s",
    "preferred": "{path} carries from now on; {reason}",
    "retired": "{path}; {reason}",
    "surroundings": "{reason}; paths are tested",
    CLOSED: "{code}; {reason}",
}


def describe(entry: dict[str, Value]) -> str:
    """One readable line for an entry; the shell escapes control characters."""
    clock_time, event = str(entry.get("time", ""))[11:19], str(entry.get("event", "?"))
    told = _sentence(event, entry)
    if told is not None:
        return f"{clock_time} {event}: {told}"
    values = " ".join(
        f"{name}={value}" for name, value in entry.items() if name not in ("time", "event")
    )
    return f"{clock_time} {event} {values}".rstrip()


def _sentence(event: str, entry: dict[str, Value]) -> str | None:
    sentence = _SENTENCES.get(event)
    if sentence is None:
        return None
    try:
        return sentence.format_map(entry)
    except KeyError:
        # Written by another version: what it has is listed.
        return None


def _parse(line: bytes) -> dict[str, Value] | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None
