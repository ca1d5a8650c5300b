"""
The gateway's life beside its tunnels: the control socket, the watch, the upload of audit events.

It connects outwards only, comes back with jitter, notices a dead connection within ten seconds,
and ends when the server says that this gateway was removed or that another process is it.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Protocol

from commander import tasks
from commander.api.retry import backoff
from commander.audit.events import Event, LogHeadChanged
from commander.authority.refusals import Code
from commander.authority.state import State
from commander.clock import Clock
from commander.codec import encode
from commander.errors import CommanderError, Conflict, InvalidInput, NotAllowed, Unreachable
from commander.gateway.audit import AuditOutbox
from commander.gateway.follower import LogFollower, try_to_catch_up
from commander.gateway.limits import (
    DRAIN_S,
    MAX_COMMANDS_AT_ONCE,
    MAX_COMMANDS_WAITING,
    PING_EVERY_S,
    POLL_S,
    PONG_WITHIN_S,
    RECONNECT_LIMIT_S,
    STEADY_S,
)
from commander.gateway.service import CommandService
from commander.wire.commands import Deliver, Head, Hello, Send, Undeliverable, read_routed

if TYPE_CHECKING:
    import random  # noqa: TID251  only the type; the caller seeds it

_log = logging.getLogger(__name__)
FENCED = 4001
REVOKED = 4003
_REMOVED = {
    NotAllowed.default_code, Code.DEVICE_REVOKED, Code.DEVICE_UNKNOWN, Code.OBJECT_REVOKED,
}  # fmt: skip


class ControlSocket(Protocol):
    """One connection to the router, as `connect` made it; losing it raises Unreachable."""

    async def send(self, data: bytes) -> None:
        """Send one message."""
        ...

    async def receive(self) -> bytes:
        """The next message."""
        ...

    async def ping(self, *, within_s: float) -> None:
        """Return when the peer answered in time."""
        ...

    async def close(self) -> None:
        """Close it; idempotent."""
        ...


class SocketClosed(Unreachable):
    """The router closed the connection with a code."""

    def __init__(self, close_code: int, reason: str) -> None:
        super().__init__(f"the router closed the connection ({close_code} {reason[:60]})")
        self.close_code = close_code


Connect = Callable[[], Awaitable[ControlSocket]]


class Agent:
    """
    Runs until `stop` is called, or raises what makes going on useless: NotAllowed (removed),
    Conflict (fenced).

    `changed` is told "online" or "offline" at each change.
    """

    def __init__(
        self,
        service: CommandService,
        follower: LogFollower,
        outbox: AuditOutbox,
        connect: Connect,
        *,
        gateway: str,
        version: str,
        clock: Clock,
        changed: Callable[[str], None],
        rng: random.Random | None = None,
    ) -> None:
        self._service = service
        self._follower = follower
        self._outbox = outbox
        self._connect = connect
        self._gateway = gateway
        self._version = version
        self._clock = clock
        self._changed = changed
        self._rng = rng or secrets.SystemRandom()
        self._socket: ControlSocket | None = None
        self._head_heard = asyncio.Event()
        self._log_moved = asyncio.Event()
        self._stopping = asyncio.Event()
        self._commands: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Semaphore(MAX_COMMANDS_AT_ONCE)
        follower.on_moved = self._log_moved.set

    def stop(self) -> None:
        """Refuse new commands, end all tunnels, and let `run` return."""
        self._service.drain()
        self._stopping.set()

    async def run(self) -> None:
        """Live until stopped."""
        loops = [
            tasks.spawn(work, name=f"gateway-{name}")
            for name, work in (
                ("control", self._stay_connected()),
                ("heads", self._follow_heads()),
                ("judge", self._judge()),
                ("watch", self._watch()),
                ("audit", self._upload()),
            )
        ]
        stopping = tasks.spawn(self._stopping.wait(), name="gateway-stop")
        try:
            await asyncio.wait([*loops, stopping], return_when=asyncio.FIRST_COMPLETED)
            await self._end(loops)
        finally:
            await tasks.cancel_and_wait(*loops, stopping, *self._commands)
        for task in loops:
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error

    async def _end(self, loops: list[asyncio.Task[None]]) -> None:
        try:
            async with asyncio.timeout(DRAIN_S):
                await self._service.close()
                if self._commands:
                    await asyncio.wait(self._commands)
                while await self._outbox.upload_once():
                    pass
        except (TimeoutError, CommanderError) as error:
            # What is not uploaded stays on disk for the next start.
            _log.info("the end was not complete: %s", str(error) or "out of time")

    # --- control socket --------------------------------------------------------------------------

    async def _stay_connected(self) -> None:
        # A command may carry any moment of the second we started in, so the first that can be
        # told apart from a replay is one of the next second.
        await asyncio.sleep(max(0.0, int(self._service.started_at) + 1 - self._clock.now()))
        waits = backoff(self._rng, limit_s=RECONNECT_LIMIT_S)
        while True:
            began = self._clock.monotonic()
            try:
                await self._follower_ready()
                await self._serve_once()
            except SocketClosed as closed:
                self._judge_close(closed)
                _log.warning("%s", closed)
            except (CommanderError, TimeoutError) as error:
                if is_final(error):
                    raise
                _log.warning("not connected: %s", str(error) or "no answer in time")
            self._check_still_a_gateway()
            if self._clock.monotonic() - began > STEADY_S:
                waits = backoff(self._rng, limit_s=RECONNECT_LIMIT_S)
            await asyncio.sleep(next(waits))

    async def _follower_ready(self) -> None:
        # After a fork it stays connected, so that those who ask are told why they are refused.
        if self._follower.fork is None:
            await self._follower.catch_up()
            self._check_still_a_gateway()

    def _check_still_a_gateway(self) -> None:
        if self._follower.is_known and is_removed(self._follower.state, self._gateway):
            raise self._removed()

    def _removed(self) -> NotAllowed:
        return NotAllowed(
            f"gateway {self._gateway} was removed",
            hint="enrol it anew: remove its configuration and use a new join string",
            code=Code.OBJECT_REVOKED,
        )

    def _judge_close(self, closed: SocketClosed) -> None:
        if closed.close_code == REVOKED:
            raise self._removed()
        if closed.close_code == FENCED:
            raise Conflict(
                "another process connected with this gateway's configuration",
                hint="run one process per configuration; enrol a second gateway for the other",
                code="fenced",
            )

    async def _serve_once(self) -> None:
        socket = await self._connect()
        pinging = tasks.spawn(self._keep_alive(socket), name="gateway-ping")
        receiving = tasks.spawn(self._receive(socket), name="gateway-receive")
        try:
            await socket.send(encode(Hello(self._version, "")))
            await asyncio.wait({pinging, receiving}, return_when=asyncio.FIRST_COMPLETED)
            for task in (receiving, pinging):
                if task.done():
                    task.result()
        finally:
            self._socket = None
            self._changed("offline")
            await tasks.cancel_and_wait(pinging, receiving)
            await socket.close()

    async def _keep_alive(self, socket: ControlSocket) -> None:
        while True:
            await asyncio.sleep(PING_EVERY_S)
            await socket.ping(within_s=PONG_WITHIN_S)

    async def _receive(self, socket: ControlSocket) -> None:
        while True:
            try:
                message = read_routed(await socket.receive())
            except InvalidInput as error:
                raise Unreachable(f"the router sent what it may not: {error.message}") from None
            if self._socket is None:
                self._socket = socket
                self._changed("online")
            if isinstance(message, Head):
                self._head_heard.set()
            elif isinstance(message, Deliver):
                self._begin(message)
            elif isinstance(message, Undeliverable):
                self._service.counters["undeliverable"] += 1

    def _begin(self, message: Deliver) -> None:
        if len(self._commands) >= MAX_COMMANDS_WAITING:
            self._service.counters["dropped"] += 1
            return
        task = tasks.spawn(self._answer(message), name="gateway-command")
        self._commands.add(task)
        task.add_done_callback(self._commands.discard)

    async def _answer(self, message: Deliver) -> None:
        async with self._turn:
            reply = await self._service.handle(message)
        await self._send(reply)

    async def _send(self, reply: Send) -> None:
        socket = self._socket
        try:
            if socket is not None:
                await socket.send(encode(reply))
        except CommanderError:
            # The client asks again; a tunnel nobody attaches to ends by itself.
            self._service.counters["replies-lost"] += 1

    # --- the log ---------------------------------------------------------------------------------

    async def _follow_heads(self) -> None:
        while True:
            await self._head_heard.wait()
            self._head_heard.clear()
            await try_to_catch_up(self._follower)

    async def _judge(self) -> None:
        while True:
            await self._log_moved.wait()
            self._log_moved.clear()
            checked = len(self._service.sessions)
            killed = await _logged(self._service.judge_log()) or 0
            state = self._follower.state
            await self._note(LogHeadChanged(state.seq, state.head, checked, killed))
            self._check_still_a_gateway()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(POLL_S)
            await try_to_catch_up(self._follower)
            # Also without a new head: shares begin and end by the clock.
            await _logged(self._service.judge_log())
            await _logged(self._service.judge_records())

    # --- audit -----------------------------------------------------------------------------------

    async def _note(self, event: Event) -> None:
        await _logged(self._outbox.write(event))

    async def _upload(self) -> None:
        waits = backoff(self._rng)
        while True:
            await self._outbox.wait_for_news()
            while True:
                try:
                    if not await self._outbox.upload_once():
                        break
                    waits = backoff(self._rng)
                except (CommanderError, OSError) as error:
                    _log.info("audit events wait for the server: %s", error)
                    await asyncio.sleep(next(waits))


def is_removed(state: State, gateway: str) -> bool:
    """Tell whether a log, read to its end, does not have this gateway."""
    return state.gateways.get(gateway) is None


def is_final(error: Exception) -> bool:
    """Tell whether a failure to connect will stay: fenced, or not a gateway any more for the server."""
    if isinstance(error, Conflict):
        return True
    return isinstance(error, NotAllowed) and error.code in _REMOVED


async def _logged(work: Awaitable[Any]) -> Any:
    """Let a step of a loop fail without ending the loop."""
    try:
        return await work
    except (CommanderError, OSError) as error:
        _log.warning("%s", error)
        return None
