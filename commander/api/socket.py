"""
The control WebSocket as an async API: send to a peer, receive what peers send, hear of new heads.

It reconnects with jitter until it is closed. What was sent while the connection broke is lost
and its conversation told so; callers repeat a conversation, never a message.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol

from websockets.exceptions import ConnectionClosed

from commander.api.client import Api
from commander.api.retry import backoff
from commander.api.websocket import open_router
from commander.clock import Clock
from commander.codec import encode
from commander.errors import CommanderError, Conflict, InvalidInput, NotLoggedIn, Unreachable
from commander.tasks import cancel_and_wait, spawn
from commander.wire.commands import Deliver, Head, Hello, Send, Undeliverable, read_routed

if TYPE_CHECKING:
    import random  # noqa: TID251  only the type; the caller seeds it

_log = logging.getLogger(__name__)
CONNECT_S = 15.0
SEND_S = 10.0
MAX_WAITING = 64
MAX_CONVERSATIONS = 4096
STEADY_S = 30.0
# While somebody waits for a connection, no pause between attempts is longer, and no attempt: what was
# sent into a dead network is repeated ever more rarely, a new attempt is heard at once.
HURRY_S = 0.5
HURRY_CONNECT_S = 4.0

Incoming = Deliver | Undeliverable
OnHead = Callable[[Head], None]
OnUnknown = Callable[[Deliver], None]


class Carrier(Protocol):
    """One connection to the router; ends its iteration, or raises ConnectionClosed, when it is over."""

    async def send(self, message: bytes) -> None:
        """Send one message. Raises ConnectionClosed."""
        ...

    def __aiter__(self) -> AsyncIterator[str | bytes]: ...

    async def ping(self) -> Awaitable[float]:
        """Send a ping; what it returns is done when the pong came. Raises ConnectionClosed."""
        ...

    async def close(self) -> None:
        """Close it; idempotent."""
        ...


Connect = Callable[[Api, Mapping[str, str]], Awaitable[Carrier]]
"""Opens the connection. Raises CommanderError."""


def _ignore(event: object) -> None:
    """What nobody asked for is dropped."""


class Conversation:
    """The messages of one conversation id; made by `RouterSocket.conversation`."""

    def __init__(self, socket: RouterSocket, uid: str) -> None:
        self.uid = uid
        self._socket = socket
        self._queue: asyncio.Queue[Incoming] = asyncio.Queue(MAX_WAITING)

    async def send(self, to: str, payload: bytes) -> None:
        """Send to a peer. Raises Unreachable when there is no connection in time."""
        await self._socket.send(Send(self.uid, to, payload))

    async def receive(self, *, timeout_s: float) -> Incoming:
        """The next message. Raises TimeoutError at the deadline."""
        async with asyncio.timeout(timeout_s):
            return await self._queue.get()

    def offer(self, message: Incoming) -> None:
        """Take a message that came in; one over the bound is dropped, as a network would."""
        if self._queue.full():
            _log.debug("a message of conversation %s was dropped: its reader is slow", self.uid)
            return
        self._queue.put_nowait(message)


class RouterSocket:
    """
    A control connection that keeps itself alive between `start` and `close`.

    `on_head` hears of new log heads, `on_unknown` gets messages of conversations that nobody
    here opened (a gateway's commands). Both are called in the receiving task and must be quick.
    """

    def __init__(
        self,
        api: Api,
        environment: Mapping[str, str],
        *,
        clock: Clock,
        version: str,
        name: str = "",
        on_head: OnHead = _ignore,
        on_unknown: OnUnknown = _ignore,
        rng: random.Random | None = None,
        connect: Connect = open_router,
    ) -> None:
        self._api = api
        self._environment = environment
        self._clock = clock
        self._hello = Hello(version, name)
        self._on_head = on_head
        self._on_unknown = on_unknown
        self._rng = rng or secrets.SystemRandom()
        self._connect = connect
        self._conversations: dict[str, Conversation] = {}
        self._connection: Carrier | None = None
        self._connected = asyncio.Event()
        self._waiting = 0
        self._wanted = asyncio.Event()
        self._checking: asyncio.Task[None] | None = None
        self._doubted = asyncio.Event()
        self._connecting: asyncio.Timeout | None = None
        self._failure: CommanderError | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection now."""
        return self._connection is not None and self._connected.is_set()

    def start(self) -> None:
        """Begin connecting in the background."""
        assert self._task is None
        self._task = spawn(self._run(), name="router-socket")

    async def wait_connected(self, *, timeout_s: float | None = CONNECT_S) -> None:
        """Return once connected. Raises the last failure to connect, or Unreachable; None waits on."""
        self._waiting += 1
        self._wanted.set()
        self._hurry()
        try:
            async with asyncio.timeout(timeout_s):
                await self._connected.wait()
        except TimeoutError:
            assert timeout_s is not None
            raise self._failure or Unreachable(
                f"no connection to server {self._api.server.address} in {timeout_s:g} s"
            ) from None
        finally:
            self._waiting -= 1
        if self._connection is None:
            raise self._failure or Unreachable("the connection was closed")

    async def check(self, *, within_s: float) -> None:
        """
        Doubt the connection: without an answer to a ping in time it is made anew at once.

        For moments at which the network may have changed. Several callers share one check.
        """
        checking = self._checking
        if checking is None or checking.done():
            work = self._check(within_s)
            checking = self._checking = spawn(work, name="router-socket-check")
        await asyncio.shield(checking)

    async def _check(self, within_s: float) -> None:
        connection = self._connection
        if connection is None or not self._connected.is_set():
            self._wanted.set()
            return
        try:
            async with asyncio.timeout(within_s):
                await (await connection.ping())
        except (ConnectionClosed, TimeoutError):
            if self._connection is connection:
                _log.info("router: no answer to a ping in %g s, connecting anew", within_s)
                self._doubted.set()

    async def send(self, message: Send) -> None:
        """Send to a peer. Raises Unreachable, or what `wait_connected` raises."""
        await self.wait_connected()
        connection = self._connection
        assert connection is not None
        try:
            async with asyncio.timeout(SEND_S):
                await connection.send(encode(message))
        except (ConnectionClosed, TimeoutError) as error:
            raise Unreachable("the connection to the router broke", hint="try again") from error

    @asynccontextmanager
    async def conversation(self, uid: str) -> AsyncIterator[Conversation]:
        """Receive a conversation's messages while the context lasts."""
        if uid in self._conversations or len(self._conversations) >= MAX_CONVERSATIONS:
            raise Conflict(f"conversation {uid} is open already, or there are too many")
        conversation = self._conversations[uid] = Conversation(self, uid)
        try:
            yield conversation
        finally:
            del self._conversations[uid]

    async def close(self) -> None:
        """Close and stop reconnecting; idempotent."""
        task, self._task = self._task, None
        await cancel_and_wait(task, self._checking)

    async def _run(self) -> None:
        waits = backoff(self._rng)
        while True:
            started = self._clock.monotonic()
            try:
                await self._connect_and_receive()
            except NotLoggedIn as error:
                # Nothing to wait for: only a login makes another attempt useful.
                self._failure = error
                self._connected.set()
                return
            except CommanderError as error:
                self._failure = error
                _log.info("router: %s", error)
            if self._clock.monotonic() - started > STEADY_S:
                waits = backoff(self._rng)
            if not self._doubted.is_set():
                await self._pause(next(waits))

    async def _pause(self, wait_s: float) -> None:
        """Wait before the next attempt, but keep nobody waiting for it."""
        self._wanted.clear()
        try:
            async with asyncio.timeout(min(wait_s, HURRY_S) if self._waiting else wait_s):
                await self._wanted.wait()
        except TimeoutError:
            return

    async def _open(self) -> Carrier:
        self._doubted.clear()
        try:
            async with asyncio.timeout(None) as limit:
                self._connecting = limit
                if self._waiting:
                    self._hurry()
                return await self._connect(self._api, self._environment)
        except TimeoutError:
            raise Unreachable(
                f"no connection to server {self._api.server.address} in {HURRY_CONNECT_S:g} s"
            ) from None
        finally:
            self._connecting = None

    def _hurry(self) -> None:
        """Bound the attempt that is going on, from now."""
        if self._connecting is not None and self._connecting.when() is None:
            self._connecting.reschedule(asyncio.get_running_loop().time() + HURRY_CONNECT_S)

    async def _connect_and_receive(self) -> None:
        connection = self._connection = await self._open()
        reason = "the connection to the router broke"
        receiving = spawn(self._receive_all(connection), name="router-socket-receive")
        doubted = spawn(self._doubted.wait(), name="router-socket-doubted")
        try:
            waiting: set[asyncio.Task[Any]] = {receiving, doubted}
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if receiving.done():
                receiving.result()
            else:
                raise Unreachable("the router did not answer a ping")
        except ConnectionClosed as error:
            raise Unreachable(f"the connection to the router broke: {error}") from error
        except InvalidInput as error:
            reason = f"the router sent what it may not: {error.message}"
            raise Unreachable(reason) from None
        finally:
            self._forget_connection(reason)
            await cancel_and_wait(receiving, doubted)
            if self._doubted.is_set():
                # Nobody answers a close there either: the next connection does not wait for it.
                spawn(connection.close(), name="router-socket-close")
            else:
                await connection.close()

    async def _receive_all(self, connection: Carrier) -> None:
        await connection.send(encode(self._hello))
        self._connected.set()
        self._failure = None
        async for data in connection:
            self._receive(data)

    def _receive(self, data: str | bytes) -> None:
        if isinstance(data, str):
            raise InvalidInput("a text message")
        message = read_routed(data)
        if isinstance(message, Head):
            self._on_head(message)
        elif isinstance(message, Deliver | Undeliverable):
            conversation = self._conversations.get(message.conversation)
            if conversation is not None:
                conversation.offer(message)
            elif isinstance(message, Deliver):
                self._on_unknown(message)
        else:
            raise InvalidInput(f"a {type(message).__name__} message")

    def _forget_connection(self, reason: str) -> None:
        if self._connection is None:
            return
        self._connection = None
        self._connected.clear()
        for conversation in self._conversations.values():
            conversation.offer(Undeliverable(conversation.uid, "unreachable", reason))
