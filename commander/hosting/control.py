"""
The control socket of a process that hosts tunnels, and asking the sockets of all of them.

One line of JSON each way over a Unix socket `host-<pid>.sock` (0600 in a 0700 directory), so any
shell of the same user lists and stops tunnels without a signal to a process that may be another.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from commander.errors import CommanderError, InvalidInput, Unreachable
from commander.files import is_process_alive, make_private_directory
from commander.hosting.model import (
    LINE_LIMIT,
    Ask,
    Told,
    TunnelInfo,
    read_ask,
    read_told,
    write_line,
)

DEADLINE_S = 10
MAX_HOSTS = 1000
MAX_SOCKET_NAME = 104
_SOCKET_NAME = re.compile(r"host-(\d{1,9})\.sock\Z")
_log = logging.getLogger(__name__)

Answerer = Callable[[Ask], Awaitable[Told]]


class ControlServer:
    """Answers questions of other processes of the same user; `close` removes the socket."""

    def __init__(self, path: Path, answer: Answerer) -> None:
        self._path = path
        self._answer = answer
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Open the socket. Raises InvalidInput when the directory is not private."""
        make_private_directory(self._path.parent)
        self._path.unlink(missing_ok=True)
        with _short_name(self._path) as name:
            self._server = await asyncio.start_unix_server(self._serve, path=name, limit=LINE_LIMIT)
        self._path.chmod(0o600)

    async def close(self) -> None:
        """Stop answering and remove the socket; idempotent."""
        if self._server is not None:
            self._server.close()
            self._server = None
            self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(DEADLINE_S):
                if _peer_uid(writer) == os.geteuid():
                    writer.write(write_line(await self._told(await reader.readline())))
                    await writer.drain()
        except (TimeoutError, OSError, ValueError):
            _log.debug("a question on the control socket was not finished")
        finally:
            writer.close()

    async def _told(self, line: bytes) -> Told:
        try:
            return await self._answer(read_ask(line))
        except CommanderError as error:
            return Told(code=error.code, message=str(error))


@contextlib.contextmanager
def _short_name(path: Path) -> Iterator[str]:
    """
    A name for a Unix socket that fits `sockaddr_un` (108 bytes on Linux, 104 elsewhere).

    A longer one is reached through a descriptor of its directory, which Linux shows in /proc.
    """
    if len(os.fsencode(path)) < MAX_SOCKET_NAME or not Path("/proc/self/fd").is_dir():
        yield str(path)
        return
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


def _peer_uid(writer: asyncio.StreamWriter) -> int:
    """Uid of the process at the other end; our own where the system can't say (the mode guards)."""
    peer = writer.get_extra_info("socket")
    if peer is None or not hasattr(socket, "SO_PEERCRED"):
        return os.geteuid()
    credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", credentials)[1])


async def ask_host(path: Path, ask: Ask) -> Told:
    """Ask one process. Raises Unreachable when it is gone or silent, InvalidInput for nonsense."""
    try:
        async with asyncio.timeout(DEADLINE_S):
            with _short_name(path) as name:
                reader, writer = await asyncio.open_unix_connection(name, limit=LINE_LIMIT)
            try:
                writer.write(write_line(ask))
                await writer.drain()
                line = await reader.readline()
            finally:
                writer.close()
    except (OSError, ValueError) as error:
        raise Unreachable(f"process of {path.name} does not answer: {error}") from None
    return read_told(line)


def other_hosts(runtime: Path) -> list[Path]:
    """Control sockets of living processes; those of dead ones are removed."""
    if not runtime.is_dir():
        return []
    found = []
    for path in sorted(runtime.glob("host-*.sock"))[:MAX_HOSTS]:
        match = _SOCKET_NAME.match(path.name)
        if match is None or int(match[1]) == os.getpid():
            continue
        if is_process_alive(int(match[1])):
            found.append(path)
        else:
            path.unlink(missing_ok=True)
    return found


async def list_others(runtime: Path) -> list[TunnelInfo]:
    """Tunnels of all other processes of this user; silent ones are left out."""
    asked = [ask_host(path, Ask("list")) for path in other_hosts(runtime)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    tunnels: list[TunnelInfo] = []
    for answer in answers:
        if isinstance(answer, Told):
            tunnels.extend(answer.tunnels)
        elif not isinstance(answer, Unreachable | InvalidInput):
            raise answer
    return tunnels
