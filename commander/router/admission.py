"""
How TLS connections come in: few handshakes at a time, so that each ends before its client gives up.

After a restart everybody comes back at once. A server that begins with all of them is done with none in
time: each client goes away, and comes again, and what was done for it was for nothing. Here those who
wait do so in the kernel, in the order in which they came, and cost nothing.
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
"""For how long: a client that says nothing is not in the way for longer."""
HANDSHAKE_S: Final = 20.0
SHUTDOWN_S: Final = 5.0
FULL_PAUSE_S: Final = 1.0
_FULL = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
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
    ) -> None:
        self._listener = listener
        self._make_protocol = make_protocol
        self._context = context
        self._turns = asyncio.Semaphore(at_once)
        self._hold_s = hold_s
        self._greeting: set[asyncio.Task[None]] = set()
        self._task: asyncio.Task[None] | None = None

    @property
    def handshakes(self) -> int:
        """How many go on now."""
        return len(self._greeting)

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
        for task in (self._task, *self._greeting):
            if task is not None:
                task.cancel()

    async def wait_closed(self) -> None:
        """Wait until that is done."""
        await tasks.cancel_and_wait(self._task, *self._greeting)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._turns.acquire()
            turn = _Turn(self._turns)
            try:
                connection, _ = await loop.sock_accept(self._listener)
            except OSError as error:
                turn.end()
                if self._listener.fileno() < 0:
                    return
                await self._wait_after(error)
                continue
            task = tasks.spawn(self._greet(connection, turn), name="handshake")
            self._greeting.add(task)
            task.add_done_callback(self._greeting.discard)

    async def _wait_after(self, error: OSError) -> None:
        # Anything else is about one connection that is gone already.
        if error.errno in _FULL:
            _log.error("no connection can be accepted: %s", error.strerror)
            await asyncio.sleep(FULL_PAUSE_S)

    async def _greet(self, connection: socket.socket, turn: _Turn) -> None:
        loop = asyncio.get_running_loop()
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
            hold.cancel()
            turn.end()


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
