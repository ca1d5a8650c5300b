from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from commander.clock import Clock, SystemClock
from commander.errors import CommanderError, TimedOut, Unreachable
from commander.tasks import cancel_and_wait, spawn
from commander.tunnel import mux as multiplex
from commander.tunnel.codes import CloseCode, ProtocolViolation, ResetCode, Role, StreamRefused
from commander.tunnel.keys import ConversationKeys
from commander.tunnel.link import Link
from commander.tunnel.mux import Mux, TunnelClosed
from commander.tunnel.pacing import PROGRESS_STEP
from commander.tunnel.path import Binding, Path
from commander.tunnel.pipe import READ_BYTES, Pipe
from commander.tunnel.reports import (
    NoEvents,
    StreamReport,
    TunnelEvents,
    TunnelLimits,
    TunnelStats,
)
from commander.tunnel.target import Connect, refusal_of

_log = logging.getLogger(__name__)


class TunnelEnd:
    """
    One end of a tunnel, in an event loop: paths below, TCP connections above.

    `attach` a path first; it returns once both ends have proved themselves. A client then gives
    each accepted socket the protocol that `pipe` makes. A gateway passes `connect`, which is
    called for each stream that the client opens. Wait for `closed`, or call `close`.
    """

    def __init__(
        self,
        role: Role | str,
        keys: ConversationKeys,
        *,
        events: TunnelEvents | None = None,
        clock: Clock | None = None,
        limits: TunnelLimits | None = None,
        connect: Connect | None = None,
    ) -> None:
        self.role = Role(role)
        self.limits = limits or TunnelLimits()
        self.mux = Mux(self.role, self.limits.mux)
        self.read_buffer = memoryview(bytearray(READ_BYTES))
        self.closed: asyncio.Future[TunnelClosed] = asyncio.get_running_loop().create_future()
        self._keys = keys
        self._events = events or NoEvents()
        self._clock = clock or SystemClock()
        self._connect = connect
        self._link: Link | None = None
        self._generation = 0
        self._since = 0.0
        self._pipes: dict[int, Pipe] = {}
        self._unopened: set[Pipe] = set()
        self._paused: dict[int, Pipe] = {}
        self._connecting: dict[int, asyncio.Task[None]] = {}
        self._closing: asyncio.Task[None] | None = None
        self._beat_timer: asyncio.TimerHandle | None = None
        self._beat_at = 0.0
        self._ping_token = 0
        self._ping_sent_at: float | None = None
        self._rtt_s: float | None = None
        self._moved_bytes = 0
        self._moved_at = 0.0
        self._progress_told = 0

    # --- paths -----------------------------------------------------------------------------

    async def attach(
        self, path: Path, binding: Binding | None = None, *, generation: int = 1
    ) -> None:
        """
        Run HELLO on a path and let it carry the tunnel; returns when both ends are verified.

        On failure the path is closed and another may be tried. Both ends must give a path the
        same generation, and each path of a conversation another one: several may be tried at
        once at one end as long as the other end starts on one of them only. Raises TimedOut, Unreachable (path lost), SealBroken or
        ProtocolViolation (the far end is not who it should be), and Unreachable once closed.
        """
        if self.closed.done() or self._link is not None or generation <= self._generation:
            await path.close("not needed")
            raise Unreachable("the tunnel takes no further path of this generation")
        link = Link(
            self.role, self._keys, path, binding or Binding(), generation, self._clock, self
        )
        link.begin()
        try:
            async with asyncio.timeout(self.limits.hello_s):
                await link.verified
        except TimeoutError:
            await self._drop(link, "hello timed out")
            raise TimedOut(
                f"the other end did not prove itself within {self.limits.hello_s:g} s"
            ) from None
        except (CommanderError, asyncio.CancelledError):
            await self._drop(link, "hello failed")
            raise

    async def _drop(self, link: Link, reason: str) -> None:
        link.abandon()
        if self._link is link:
            self._shut(CloseCode.HELLO_FAILED, reason)
        await link.path.close(reason)

    def link_verified(self, link: Link) -> bool:
        """Let the mux flow, unless another path was faster."""
        if self.closed.done() or self._link is not None:
            link.abandon()
            return False
        self._link = link
        self._generation = link.generation
        self._since = self._since or self._clock.now()
        self._moved_at = self._beat_at = self._clock.monotonic()
        self.mux.set_message_limit(link.message_bytes)
        self._schedule_beat()
        self._events.path_up(link.path.kind, link.generation)
        self.flush()
        return True

    def link_ready(self) -> None:
        """The path takes messages again."""
        self.flush()

    def link_lost(self, link: Link, reason: str) -> None:
        """Without a path the tunnel is over."""
        if self._link is link:
            self._events.path_lost(link.path.kind, reason)
            self._shut(CloseCode.PATH_LOST, reason)

    def link_message(self, message: bytes) -> None:
        """Handle one message of the far end."""
        try:
            events = self.mux.receive(message)
        except ProtocolViolation as violation:
            self._fail(CloseCode.PROTOCOL_ERROR, violation.message)
            return
        for event in events:
            self._handle(event)
        self._tell_progress()
        self.flush()

    def _tell_progress(self, step: int = PROGRESS_STEP) -> None:
        link = self._link
        if link is not None and link.received_bytes - self._progress_told >= step:
            self._progress_told = link.received_bytes
            self.mux.progress(link.received_bytes)

    # --- streams ---------------------------------------------------------------------------

    def pipe(self, meta: bytes) -> Pipe:
        """Make the protocol of one accepted socket; the stream opens with the connection."""
        assert self.role is Role.CLIENT
        pipe = Pipe(self, meta, self._clock.now())
        if self.closed.done() or self._link is None:
            pipe.end(ResetCode.TUNNEL_CLOSED, "the tunnel is closed", by_peer=False)
        else:
            self._unopened.add(pipe)
        return pipe

    def pipe_opened(self, pipe: Pipe) -> None:
        """A client's pipe has its stream."""
        self._unopened.discard(pipe)
        self._pipes[pipe.stream] = pipe
        self._events.stream_opened(pipe.stream, pipe.report().meta)

    def pipe_paused(self, pipe: Pipe) -> None:
        """Remember a socket that waits for room."""
        self._paused[pipe.stream] = pipe

    def pipe_closed(self, pipe: Pipe) -> None:
        """Forget a connection and report it."""
        self._unopened.discard(pipe)
        self._paused.pop(pipe.stream, None)
        if pipe.stream == 0 or self._pipes.pop(pipe.stream, None) is not None:
            self._events.stream_closed(pipe.report())

    def flush(self) -> None:
        """Send what the mux has, as far as the path takes it, and read sockets that may go on."""
        link, limit = self._link, self.limits.backlog_bytes
        if link is None:
            return
        mux, window = self.mux, link.window
        while mux.has_pending() and link.path.backlog_bytes() < limit:
            with_data = window.is_open
            if not with_data and not mux.has_control():
                break
            message = mux.data_to_send(with_data=with_data)
            if message:
                link.send(message)
        if self._paused:
            self._resume(self.mux.take_eased() & self._paused.keys())

    def _resume(self, streams: set[int]) -> None:
        for stream in streams:
            if self._paused[stream].resume():
                del self._paused[stream]

    def _handle(self, event: multiplex.Event) -> None:
        match event:
            case multiplex.DataReceived(stream, data):
                if (pipe := self._pipes.get(stream)) is not None:
                    pipe.deliver(data)
            case multiplex.EofReceived(stream):
                if (pipe := self._pipes.get(stream)) is not None:
                    pipe.deliver_eof()
            case multiplex.StreamRequested(stream, meta):
                self._requested(stream, meta)
            case multiplex.StreamReset(stream, code, reason):
                self._reset(stream, code, reason)
            case _:
                self._handle_of_tunnel(event)

    def _handle_of_tunnel(self, event: multiplex.Event) -> None:
        match event:
            case multiplex.PongReceived(token):
                self._pong(token)
            case multiplex.ProgressReceived(received):
                if self._link is not None and not self._link.progress(received):
                    self._fail(CloseCode.PROTOCOL_ERROR, "a progress report cannot be true")
            case multiplex.TunnelClosed(code, reason):
                self._shut(code, reason)
            case _:
                # StreamAccepted: a client's bytes flow before it, and need not wait for it.
                return

    def _requested(self, stream: int, meta: bytes) -> None:
        pipe = Pipe(self, meta, self._clock.now(), stream)
        self._pipes[stream] = pipe
        self._events.stream_opened(stream, meta)
        self._connecting[stream] = spawn(self._connect_target(pipe, meta), name="tunnel-connect")

    async def _connect_target(self, pipe: Pipe, meta: bytes) -> None:
        try:
            await self._try_connect(meta, lambda: pipe)
        except StreamRefused as refusal:
            pipe.refuse(refusal.reset_code, refusal.message)
        except Exception:  # noqa: BLE001  # the task's top: `connect` is the owner's code
            _log.exception("connecting a target failed unexpectedly")
            pipe.refuse(ResetCode.INTERNAL, "the gateway failed")
        finally:
            self._connecting.pop(pipe.stream, None)

    async def _try_connect(self, meta: bytes, make_protocol: Callable[[], Pipe]) -> None:
        if self._connect is None:
            raise StreamRefused(ResetCode.NOT_ALLOWED, "this end connects to nothing")
        try:
            async with asyncio.timeout(self.limits.connect_s):
                await self._connect(meta, make_protocol)
        except OSError as error:
            raise refusal_of(error) from error

    def _reset(self, stream: int, code: ResetCode, reason: str) -> None:
        pipe = self._pipes.get(stream)
        if pipe is None:
            return
        pipe.end(code, reason, by_peer=True)
        connecting = self._connecting.pop(stream, None)
        if connecting is not None:
            connecting.cancel()
            self.pipe_closed(pipe)

    # --- heartbeat -------------------------------------------------------------------------

    def _schedule_beat(self) -> None:
        loop = asyncio.get_running_loop()
        self._beat_timer = loop.call_later(self.limits.heartbeat_s, self._beat)

    def _beat(self) -> None:
        link = self._link
        if link is None:
            return
        now = self._clock.monotonic()
        if now - self._beat_at > 2 * self.limits.heartbeat_s:
            # We slept, not the peer: what it sent meanwhile may still wait to be read.
            link.heard_at = now
        self._beat_at = now
        if now - link.heard_at > self.limits.dead_after_s:
            link.abandon()
            self.link_lost(link, f"no sign of life for {self.limits.dead_after_s:g} s")
            return
        if self._is_idle(now):
            self._fail(CloseCode.IDLE, f"no data for {self.limits.idle_s:g} s")
            return
        link.renew_key()
        self.mux.acknowledge()
        self._tell_progress(step=1)
        if self._ping_sent_at is None:
            self._ping_token += 1
            self._ping_sent_at = now
            self.mux.ping(self._ping_token)
            # A full backlog must not hold back the sign of life.
            link.send(self.mux.data_to_send())
        self.flush()
        self._resume(set(self._paused))
        self._schedule_beat()

    def _pong(self, token: int) -> None:
        if token == self._ping_token and self._ping_sent_at is not None:
            sample = self._clock.monotonic() - self._ping_sent_at
            self._ping_sent_at = None
            self._rtt_s = sample if self._rtt_s is None else 0.75 * self._rtt_s + 0.25 * sample

    def _is_idle(self, now: float) -> bool:
        moved = self.mux.bytes_received + self.mux.bytes_sent
        if moved != self._moved_bytes:
            self._moved_bytes, self._moved_at = moved, now
        return self.limits.idle_s is not None and now - self._moved_at > self.limits.idle_s

    # --- the end ---------------------------------------------------------------------------

    async def close(self, code: CloseCode = CloseCode.STOPPED, reason: str = "") -> None:
        """
        End the tunnel: tell the far end, reset all connections, close the path. Idempotent.

        Waits a few seconds at most.
        """
        self._fail(code, reason)
        if self._closing is not None:
            await asyncio.wait([self._closing], timeout=self.limits.close_s)
            await cancel_and_wait(self._closing)

    def _fail(self, code: CloseCode, reason: str) -> None:
        if self.closed.done():
            return
        if self._link is not None:
            self.mux.close(code, reason)
            self._link.send(self.mux.data_to_send())
        self._shut(code, reason)

    def _shut(self, code: CloseCode, reason: str) -> None:
        if self.closed.done():
            return
        self.closed.set_result(TunnelClosed(code, reason))
        if self._beat_timer is not None:
            self._beat_timer.cancel()
        link, self._link = self._link, None
        for connecting in self._connecting.values():
            connecting.cancel()
        for pipe in [*self._pipes.values(), *self._unopened]:
            is_connecting = pipe.stream in self._connecting
            pipe.end(ResetCode.TUNNEL_CLOSED, reason or code.label, by_peer=False)
            if is_connecting:
                self.pipe_closed(pipe)
        self._connecting.clear()
        if link is not None:
            link.abandon()
            self._close_later(link.path, code.label)
        self._events.tunnel_closed(code, reason)

    def _close_later(self, path: Path, reason: str) -> None:
        self._closing = spawn(path.close(reason), name="tunnel-path-close")

    # --- reports ---------------------------------------------------------------------------

    def stats(self) -> TunnelStats:
        """How the tunnel does now."""
        link = self._link
        return TunnelStats(
            bytes_in=self.mux.bytes_received,
            bytes_out=self.mux.bytes_sent,
            streams_open=self.mux.streams_open,
            streams_total=self.mux.streams_total,
            rtt_s=self._rtt_s,
            path_kind=link.path.kind if link is not None else "",
            generation=self._generation,
            since=self._since,
        )

    def streams(self) -> list[StreamReport]:
        """The connections that live now."""
        return [pipe.report() for pipe in self._pipes.values()]
