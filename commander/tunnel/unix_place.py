"""A Unix socket as the local end of a tunnel: for our own user only, and nothing of others' is touched."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from commander.errors import Conflict, InvalidInput
from commander.files import PRIVATE_FILE, check_own_directory
from commander.tunnel.peer import Address, Peer, identify_unix

BACKLOG: Final = 1024
# sockaddr_un has room for 108 bytes on Linux and 104 elsewhere, the last one being 0. A longer
# path could be bound by a detour, but the programs that connect could not.
MAX_PATH_BYTES: Final = 103
_PROBE_S: Final = 1.0


@dataclass
class UnixPlace:
    """
    Listen at a path, 0600.

    The directory must be one in which nobody else can exchange files. A socket of ours that
    nobody answers at is replaced; one that is in use, or anything else at that path, is a
    Conflict and stays as it is.
    """

    path: Path
    _made: tuple[int, int] | None = field(default=None, init=False)

    checks_owner = True

    def bind(self) -> socket.socket:
        """Take the path. Raises InvalidInput for a path that cannot serve, Conflict when taken."""
        self._check()
        with _locked(self.path.parent):
            self._remove_stale()
            listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                listening.setblocking(False)
                listening.bind(str(self.path))
                # Nobody can connect between bind and listen, so the mode comes in time.
                self.path.chmod(PRIVATE_FILE)
                listening.listen(BACKLOG)
                found = self.path.lstat()
            except OSError as error:
                listening.close()
                raise _conflict(self.path, os.strerror(error.errno or 0)) from error
        self._made = found.st_dev, found.st_ino
        return listening

    def shown(self, listening: socket.socket) -> Address:
        """The path; 0 stands for the port it does not have."""
        return str(self.path), 0

    def identify(self, connection: socket.socket, listening: socket.socket) -> Peer:
        """The process at the other end, by its credentials."""
        return identify_unix(connection)

    def release(self) -> None:
        """Remove the socket, unless another one is there by now."""
        made, self._made = self._made, None
        with contextlib.suppress(OSError):
            found = self.path.lstat()
            if made == (found.st_dev, found.st_ino):
                self.path.unlink()

    def _check(self) -> None:
        size = len(os.fsencode(self.path))
        if size > MAX_PATH_BYTES:
            raise InvalidInput(
                f"{self.path} has {size} bytes; the path of a Unix socket has at most {MAX_PATH_BYTES}",
                hint="choose a directory with a shorter name",
            )
        try:
            check_own_directory(self.path.parent)
        except OSError as error:
            raise InvalidInput(
                f"{self.path.parent} cannot be used: {error.strerror}",
                hint="make the directory first",
            ) from error

    def _remove_stale(self) -> None:
        try:
            found = self.path.lstat()
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(found.st_mode):
            raise _conflict(self.path, "it is there already and is no socket")
        if found.st_uid != os.geteuid():
            raise _conflict(self.path, "it is the socket of another user")
        if _answers(self.path):
            raise _conflict(self.path, "it is in use by another program")
        self.path.unlink()


def _answers(path: Path) -> bool:
    """Whether somebody listens; whoever is only slow counts as listening."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PROBE_S)
        try:
            probe.connect(str(path))
        except OSError as error:
            return error.errno not in (errno.ECONNREFUSED, errno.ENOENT)
        return True


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """
    Keep other processes of ours from judging the same stale socket at the same time.

    Without it, the slower one of two removes the socket that the faster one has just made.
    """
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _conflict(directory, "another program has locked it just now") from None
        yield
    finally:
        os.close(handle)


def _conflict(path: Path, reason: str) -> Conflict:
    return Conflict(f"{path} cannot be used: {reason}", hint="choose another path, or remove it")
