"""
How TLS connections come in: few handshakes at a time, so that each ends before its client gives up.

After a restart everybody comes back at once. A server that begins with all of them is done with none in
time: each client goes away, and comes again, and what was done for it was for nothing. Here those who
wait do so in the order in which they came, and cost a socket.

Only who has said a whole ClientHello waits for a turn. Who connects and says nothing, or something else,
costs a stranger nothing, and so must stand in nobody's way.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
from collections.abc import Callable
from typing import Final

from commander import tasks

AT_ONCE: Final = 64
"""Handshakes that keep others waiting."""
HOLD_S: Final = 1.0
"""For how long: a client that says nothing more is not in the way for longer."""
HANDSHAKE_S: Final = 20.0
SILENT_S: Final = 10.0
"""From the connection to the whole ClientHello."""
MOST_WAITING: Final = 2048
"""
Connections that say nothing, of which the first makes room, and those that wait for their turn, behind
which the rest waits in the kernel's queue.
"""
SHUTDOWN_S: Final = 5.0
FULL_PAUSE_S: Final = 1.0
_FULL = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
# RFC 8446, 5.1: a record of handshake messages, and how long it may be.
_HEADER_BYTES: Final = 5
_HANDSHAKE: Final = 22
_MOST_RECORD: Final = 16 * 1024
_log = logging.getLogger(__name__)


class Admission:
    """
    Accepts TLS connections on a listening socket between `start` and `close`.

    `make_protocol` is called for each connection before its handshake, as `create_server` does.
    """

    def __init__(
        self,
        listener: socket.socket,
        make_protocol: Callable[[], asyncio.BaseProtocol],
        context: ssl.SSLContext,
        *,
        at_once: int = AT_ONCE,
        hold_s: float = HOLD_S,
        silent_s: float = SILENT_S,
        most_waiting: int = MOST_WAITING,
    ) -> None:
        self._listener = listener
        self._make_protocol = make_protocol
        self._context = context
        self._turns = asyncio.Semaphore(at_once)
        self._hold_s = hold_s
        self._silent_s = silent_s
        self._most_waiting = most_waiting
        self._silent: dict[socket.socket, asyncio.TimerHandle] = {}
        # With the socket of those who wait for their turn.
        self._greeting: dict[asyncio.Task[None], socket.socket | None] = {}
        self._has_room = asyncio.Event()
        self._begun = 0
        self._task: asyncio.Task[None] | None = None

    @property
    def handshakes(self) -> int:
        """How many go on now."""
        return self._begun

    @property
    def silent(self) -> int:
        """How many connections have not said a ClientHello yet."""
        return len(self._silent)

    def start(self) -> None:
        """Begin to accept."""
        assert self._task is None
        self._listener.setblocking(False)
        self._task = tasks.spawn(self._accept(), name="accept")

    def close(self) -> None:
        """Close the socket, accept nobody any more, and cut those who are not through the handshake."""
        # The number of a closed socket may be given to another one at once: it is watched no more.
        if self._listener.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
        for connection in list(self._silent):
            self._drop(connection)
        for task in (self._task, *list(self._greeting)):
            if task is not None:
                task.cancel()

    async def wait_closed(self) -> None:
        """Wait until that is done."""
        await tasks.cancel_and_wait(self._task, *self._greeting)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            while len(self._greeting) >= self._most_waiting:
                self._has_room.clear()
                await self._has_room.wait()
            try:
                connection, _ = await loop.sock_accept(self._listener)
            except OSError as error:
                if self._listener.fileno() < 0:
                    return
                await self._wait_after(error)
                continue
            if len(self._silent) >= self._most_waiting:
                self._drop(next(iter(self._silent)))
            self._silent[connection] = loop.call_later(self._silent_s, self._drop, connection)
            loop.add_reader(connection, self._listen, connection)

    async def _wait_after(self, error: OSError) -> None:
        # Anything else is about one connection that is gone already.
        if error.errno in _FULL:
            _log.error("no connection can be accepted: %s", error.strerror)
            if self._silent:
                self._drop(next(iter(self._silent)))
            await asyncio.sleep(FULL_PAUSE_S)

    def _listen(self, connection: socket.socket) -> None:
        """Something was said, or the connection ended."""
        try:
            missing = _missing(connection)
        except BlockingIOError:
            # Told too early: it is told again.
            return
        except (OSError, ValueError):
            self._drop(connection)
            return
        if missing:
            return
        self._forget(connection)
        task = tasks.spawn(self._greet(connection), name="handshake")
        self._greeting[task] = connection
        task.add_done_callback(self._greeted)

    def _greeted(self, task: asyncio.Task[None]) -> None:
        connection = self._greeting.pop(task)
        if connection is not None:
            connection.close()
        self._has_room.set()

    def _forget(self, connection: socket.socket) -> None:
        self._silent.pop(connection).cancel()
        asyncio.get_running_loop().remove_reader(connection)

    def _drop(self, connection: socket.socket) -> None:
        self._forget(connection)
        connection.close()

    async def _greet(self, connection: socket.socket) -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        await self._turns.acquire()
        turn = _Turn(self._turns)
        self._greeting[task] = None
        self._begun += 1
        hold = loop.call_later(self._hold_s, turn.end)
        try:
            await loop.connect_accepted_socket(
                self._make_protocol,
                connection,
                ssl=self._context,
                ssl_handshake_timeout=HANDSHAKE_S,
                ssl_shutdown_timeout=SHUTDOWN_S,
            )
        except OSError as error:
            # Strangers, port scanners and those who gave up; TimeoutError and SSLError are OSErrors.
            _log.debug("a TLS handshake failed: %s", type(error).__name__)
        finally:
            self._begun -= 1
            hold.cancel()
            turn.end()


def _missing(connection: socket.socket) -> bool:
    """
    Whether the first record is not whole yet; then the socket is readable again once it is.

    Raises ValueError for what is no TLS handshake and for an end, OSError for a broken connection.
    """
    said = connection.recv(_HEADER_BYTES, socket.MSG_PEEK)
    if not said or said[0] != _HANDSHAKE:
        raise ValueError("this is no ClientHello")
    wanted = _HEADER_BYTES
    if len(said) == _HEADER_BYTES:
        length = int.from_bytes(said[3:], "big")
        if length > _MOST_RECORD:
            raise ValueError("this record is longer than any")
        wanted += length
    here = len(connection.recv(wanted, socket.MSG_PEEK))
    if here < connection.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT):
        raise ValueError("it ended before its ClientHello did")
    is_missing = here < wanted or wanted == _HEADER_BYTES
    # The kernel tells of fewer bytes no more, so that somebody who says one at a time is heard once.
    least = max(wanted, here + 1) if is_missing else 1
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, least)
    return is_missing


class _Turn:
    """One of the turns, given back once."""

    def __init__(self, turns: asyncio.Semaphore) -> None:
        self._turns = turns
        self._is_over = False

    def end(self) -> None:
        """Let the next one in."""
        if not self._is_over:
            self._is_over = True
            self._turns.release()
