from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

from commander.clock import Clock, SystemClock
from commander.tasks import spawn
from commander.tunnel import events as told
from commander.tunnel import frames
from commander.tunnel.carriage import Carriage
from commander.tunnel.codes import CloseCode, ProtocolViolation, ResetCode, Role, StreamRefused
from commander.tunnel.keys import ConversationKeys
from commander.tunnel.link import Link
from commander.tunnel.mux import Mux
from commander.tunnel.path import Binding, Path
from commander.tunnel.pipe import Pipe
from commander.tunnel.repeats import Repeats
from commander.tunnel.reports import (
    LinkReport,
    NoEvents,
    StreamReport,
    TunnelEvents,
    TunnelLimits,
    TunnelStats,
)
from commander.tunnel.target import Connect, refusal_of
from commander.tunnel.transports.receive_buffer import receive_buffer

_log = logging.getLogger(__name__)
_FAREWELL_ROOM = 1024


class TunnelEnd:
    """
    One end of a tunnel, in an event loop: paths below, TCP connections above.

    `attach` a path first; it returns once both ends have proved themselves. A client then gives
    each accepted socket the protocol that `pipe` makes. A gateway passes `connect`, which is
    called for each stream that the client opens. Further paths may be attached at any time: the
    client says with `prefer` which carries, and replaces one with `retire`. When the last is
    lost, connections wait for another (`limits.resume_s`). Wait for `closed`, or call `close`.
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
        # Lent to one socket at a time, and taken before the next read: idle tunnels hold none.
        self.read_buffer = receive_buffer()
        self.closed: asyncio.Future[told.TunnelClosed] = asyncio.get_running_loop().create_future()
        self._events = events or NoEvents()
        self._clock = clock or SystemClock()
        self._carriage = Carriage(
            self.role, keys, limits=self.limits, events=self._events, clock=self._clock, owner=self
        )
        self._connect = connect
        self._pipes: dict[int, Pipe] = {}
        self._unopened: set[Pipe] = set()
        self._paused: dict[int, Pipe] = {}
        self._connecting: dict[int, asyncio.Task[None]] = {}
        self._accepted: set[int] = set()
        self._repeats = Repeats()
        self._beat_timer: asyncio.TimerHandle | None = None
        self._moved_bytes = 0
        self._moved_at = 0.0

    # --- paths -----------------------------------------------------------------------------

    async def attach(
        self,
        path: Path,
        binding: Binding | None = None,
        *,
        generation: int = 1,
        keys: ConversationKeys | None = None,
        group: int = 0,
    ) -> None:
        """
        Run HELLO on a path and let it carry the tunnel; returns when both ends are verified.

        Any number may be attached at once and at any time, each under a generation of its own,
        which is the same at both ends; `keys` are those of the attempt (default: those of the
        tunnel). Paths of one `group` carry together. On failure the path is closed. Raises
        TimedOut, Unreachable (path lost, generation in use, tunnel over), SealBroken or
        ProtocolViolation (the far end is not who it should be).
        """
        await self._carriage.attach(
            path, binding or Binding(), generation=generation, keys=keys, group=group
        )
        if self._beat_timer is None and not self.closed.done():
            self._moved_at = self._clock.monotonic()
            self._schedule_beat()

    def prefer(self, group: int) -> None:
        """Clients: let a group carry from now on; nothing while none of its paths lives."""
        assert self.role is Role.CLIENT
        self._carriage.prefer(group)

    async def retire(self, group: int) -> None:
        """Replace a group of paths without a gap; waits 2 s at most. Not the only one alive."""
        await self._carriage.retire(group)

    async def probe(self, deadline_s: float = 1.5) -> bool:
        """Drop every path that gives no sign of life within the deadline; tells whether one is left."""
        return await self._carriage.probe(deadline_s)

    @property
    def is_interrupted(self) -> bool:
        """Whether all paths are lost and connections wait for another."""
        return self._carriage.is_interrupted

    def interrupted_for(self) -> float:
        """For how many seconds."""
        return self._carriage.interrupted_for()

    def lanes_changed(self) -> None:
        """Other links carry the streams: tell the mux, and the gateway."""
        self.mux.set_lanes([link.generation for link in self._carriage.senders])
        leading = self._carriage.wanted_link
        if leading is None:
            return
        for generation in self._carriage.take_abandoned():
            self.mux.abandon(generation)
        if self.role is Role.CLIENT:
            self.mux.prefer(leading)

    def entries_lost(self, entries: list[told.Entry]) -> None:
        """A link died with these unconfirmed."""
        self.mux.lost(entries)

    def message(self, link: Link, message: bytes) -> None:
        """Handle one message of the far end."""
        try:
            events = self.mux.receive(message)
        except ProtocolViolation as violation:
            self._fail(CloseCode.PROTOCOL_ERROR, violation.message)
            return
        for event in events:
            self._handle(event, link)
        link.tell_progress()
        self.flush()

    def gave_up(self, code: CloseCode, reason: str) -> None:
        """The paths cannot carry the tunnel any more."""
        self._fail(code, reason)

    # --- streams ---------------------------------------------------------------------------

    def pipe(self, meta: bytes) -> Pipe:
        """Make the protocol of one accepted socket; the stream opens with the connection."""
        assert self.role is Role.CLIENT
        pipe = Pipe(self, meta, self._clock.now())
        if self.closed.done() or not self._carriage.since:
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
        self._accepted.discard(pipe.stream)
        if pipe.stream == 0 or self._pipes.pop(pipe.stream, None) is not None:
            self._events.stream_closed(pipe.report())

    def flush(self) -> None:
        """Send what the mux has, as far as the paths take it, and read sockets that may go on."""
        if self.mux.has_pending():
            self._send_streams()
        if self._carriage.talkers:
            self._let_talk(self._carriage.talkers)
        if self._paused:
            self._resume(self.mux.take_eased() & self._paused.keys())

    def _send_streams(self) -> None:
        senders, has_pending = self._carriage.senders, self.mux.has_pending
        leading = senders[0] if senders else None
        while senders:
            able = []
            # A turn for each, so that one does not take all before its window is full.
            for link in senders:
                if not has_pending():
                    return
                # The leading one has what may go though its window is full. The others mostly are.
                if (link is leading or link.window.is_open) and self._send_on(link):
                    able.append(link)
            senders = able

    def _let_talk(self, talkers: set[Link]) -> None:
        for link in [*talkers]:
            self._send_on(link)
            if link.is_over or not link.has_control():
                talkers.discard(link)

    def _send_on(self, link: Link) -> bool:
        """Send one message on a link; False when it takes no more, or nothing is left for it."""
        if link.is_over or link.path.backlog_bytes() >= self.limits.backlog_bytes:
            return False
        parts: list[frames.Bytes] = [frames.VERSION_BYTE]
        room, talks = link.room, link.has_control()
        if talks:
            room = link.put(parts, room)
        own = len(parts)
        entries = self.mux.put(parts, room, link.generation, with_data=link.window.is_open)
        if entries and self._carriage.is_lossy:
            self._repeat(link, parts[own:], entries)
        if talks:
            link.put_farewell(parts)
        if len(parts) == 1:
            return False
        link.send(b"".join(parts), entries)
        return True

    def _repeat(
        self, link: Link, parts: Sequence[frames.Bytes], entries: Sequence[told.Entry]
    ) -> None:
        """Send a few bytes of the leading link by another as well."""
        leading, *others = self._carriage.senders
        others = [other for other in others if not (other.is_over or other.path.backlog_bytes())]
        if link is not leading or not others:
            return
        repeated = self._repeats.take(parts, entries, self._is_known)
        if repeated:
            least = min(others, key=lambda other: other.window.in_flight)
            least.send(b"".join((frames.VERSION_BYTE, *repeated)))

    def _is_known(self, stream: int) -> bool:
        """Whether the far end knows a stream for certain."""
        return self.role is Role.GATEWAY or stream in self._accepted

    def _resume(self, streams: set[int]) -> None:
        for stream in streams:
            if self._paused[stream].resume():
                del self._paused[stream]

    def _handle(self, event: told.Event, link: Link) -> None:
        handler = _HANDLERS.get(type(event))
        if handler is None:
            self._handle_of_links(event, link)
        else:
            handler(self, event)

    def _on_data(self, event: told.DataReceived) -> None:
        if (pipe := self._pipes.get(event.stream)) is not None:
            pipe.deliver(event.data)

    def _on_eof(self, event: told.EofReceived) -> None:
        if (pipe := self._pipes.get(event.stream)) is not None:
            pipe.deliver_eof()

    def _on_requested(self, event: told.StreamRequested) -> None:
        self._requested(event.stream, event.meta)

    def _on_reset(self, event: told.StreamReset) -> None:
        self._reset(event.stream, event.code, event.reason)

    def _on_closed(self, event: told.TunnelClosed) -> None:
        self._shut(event.code, event.reason)

    def _handle_of_links(self, event: told.Event, link: Link) -> None:
        match event:
            case frames.Prefer(generation):
                self._carriage.prefer_link(generation)
            case frames.Abandon(generation):
                self._carriage.drop_link(generation, "the other end dropped it")
            case frames.Ping() | frames.Pong() | frames.Progress() | frames.Bye():
                self._carriage.take(link, event)
            case told.StreamAccepted(stream):
                # A client's bytes flow before it, and need not wait for it.
                self._accepted.add(stream)
            case _:
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
        if self.closed.done():
            return
        if self._is_idle(self._clock.monotonic()):
            self._fail(CloseCode.IDLE, f"no data for {self.limits.idle_s:g} s")
            return
        self._carriage.beat()
        self._repeats.refill()
        self.mux.acknowledge()
        for link in self._carriage.senders:
            # A full backlog must not hold back the sign of life.
            self._say(link)
        self.flush()
        self._resume(set(self._paused))
        self._schedule_beat()

    def _say(self, link: Link) -> None:
        parts: list[frames.Bytes] = [frames.VERSION_BYTE]
        link.put(parts, link.message_bytes - 2)
        if len(parts) > 1 and not link.is_over:
            link.send(b"".join(parts))

    def _is_idle(self, now: float) -> bool:
        moved = self.mux.bytes_received + self.mux.bytes_sent
        if moved != self._moved_bytes:
            self._moved_bytes, self._moved_at = moved, now
        return self.limits.idle_s is not None and now - self._moved_at > self.limits.idle_s

    # --- the end ---------------------------------------------------------------------------

    async def close(self, code: CloseCode = CloseCode.STOPPED, reason: str = "") -> None:
        """
        End the tunnel: tell the far end, reset all connections, close the paths. Idempotent.

        Waits a few seconds at most.
        """
        self._fail(code, reason)
        await self._carriage.settled(self.limits.close_s)

    def _fail(self, code: CloseCode, reason: str) -> None:
        if self.closed.done():
            return
        self.mux.close(code, reason)
        parts: list[frames.Bytes] = [frames.VERSION_BYTE]
        if self._carriage.senders:
            lane = self._carriage.senders[0].generation
            self.mux.put(parts, _FAREWELL_ROOM, lane, with_data=False)
        self._shut(code, reason, b"".join(parts) if len(parts) > 1 else b"")

    def _shut(self, code: CloseCode, reason: str, farewell: bytes = b"") -> None:
        if self.closed.done():
            return
        self.closed.set_result(told.TunnelClosed(code, reason))
        if self._beat_timer is not None:
            self._beat_timer.cancel()
        for connecting in self._connecting.values():
            connecting.cancel()
        for pipe in [*self._pipes.values(), *self._unopened]:
            is_connecting = pipe.stream in self._connecting
            pipe.end(ResetCode.TUNNEL_CLOSED, reason or code.label, by_peer=False)
            if is_connecting:
                self.pipe_closed(pipe)
        self._connecting.clear()
        self._carriage.close(farewell, code.label)
        self._events.tunnel_closed(code, reason)

    # --- reports ---------------------------------------------------------------------------

    def stats(self) -> TunnelStats:
        """How the tunnel does now."""
        leading = self._carriage.senders[0] if self._carriage.senders else None
        return TunnelStats(
            bytes_in=self.mux.bytes_received,
            bytes_out=self.mux.bytes_sent,
            streams_open=self.mux.streams_open,
            streams_total=self.mux.streams_total,
            rtt_s=leading.rtt_s if leading is not None else None,
            path_kind=leading.path.kind if leading is not None else "",
            generation=leading.generation if leading is not None else 0,
            since=self._carriage.since,
        )

    def links(self) -> tuple[LinkReport, ...]:
        """The paths that live now."""
        return self._carriage.reports()

    def streams(self) -> list[StreamReport]:
        """The connections that live now."""
        return [pipe.report() for pipe in self._pipes.values()]


# By type, not by `match`: the first of these is for every message there is.
_HANDLERS: dict[type[Any], Callable[[TunnelEnd, Any], None]] = {
    told.DataReceived: TunnelEnd._on_data,
    told.EofReceived: TunnelEnd._on_eof,
    told.StreamRequested: TunnelEnd._on_requested,
    told.StreamReset: TunnelEnd._on_reset,
    told.TunnelClosed: TunnelEnd._on_closed,
}
