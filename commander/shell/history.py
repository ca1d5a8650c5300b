"""Lines of earlier sessions: a private file, appended to, cut to its newest lines."""

from __future__ import annotations

import os
from pathlib import Path

from commander.errors import CommanderError, InvalidInput
from commander.files import PRIVATE_FILE, make_private_directory, read_private, write_private
from commander.plugin.registry import Registry
from commander.shell.redaction import Keep, may_keep

MAX_FILE_BYTES = 8 * 1024 * 1024
MAX_MEMORY = 10_000


class History:
    """
    What `history`, arrow keys and Ctrl-R offer, oldest first.

    A file that cannot be read or written costs later sessions their history,
    never this one its work: `problem` says why.
    """

    def __init__(self, registry: Registry, path: Path | None, *, limit: int) -> None:
        self._registry = registry
        self._path = path if limit > 0 else None
        self._limit = limit
        self._lines: list[str] = []
        self.problem = ""

    def load(self) -> None:
        """Read the file once; cut it when it has grown to twice its limit."""
        if self._path is None:
            return
        try:
            data = read_private(self._path, limit=MAX_FILE_BYTES)
        except FileNotFoundError:
            return
        except (InvalidInput, OSError) as error:
            self._give_up(error)
            return
        lines = data.decode(errors="replace").splitlines()
        self._lines = lines[-self._limit :]
        if len(lines) > 2 * self._limit:
            self._rewrite()

    def lines(self) -> list[str]:
        """All lines, oldest first."""
        return list(self._lines)

    def add(self, line: str) -> bool:
        """Keep a line if it may be kept; returns whether it was."""
        keep = may_keep(line, self._registry)
        if keep is Keep.NOT or (self._lines and self._lines[-1] == line):
            return False
        self._lines = [*self._lines[-MAX_MEMORY:], line]
        if keep is Keep.FILE and self._path is not None:
            self._append(self._path, line)
        return True

    def _append(self, path: Path, line: str) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            make_private_directory(path.parent)
            handle = os.open(path, flags, PRIVATE_FILE)
            try:
                # One write of one line: two sessions never mix theirs.
                os.write(handle, line.encode() + b"\n")
            finally:
                os.close(handle)
        except (CommanderError, OSError) as error:
            self._give_up(error)

    def _rewrite(self) -> None:
        assert self._path is not None
        try:
            write_private(self._path, "".join(f"{line}\n" for line in self._lines).encode())
        except CommanderError as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        self.problem = f"history is not kept: {error}"
        self._path = None
