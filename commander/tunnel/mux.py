from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from commander.errors import InvalidInput
from commander.tunnel import frames
from commander.tunnel.buffers import ACK_STEP, INITIAL_CREDIT, ReceiveWindow, SendBuffer
from commander.tunnel.codes import CloseCode, ProtocolViolation, ResetCode, Role, StreamRefused
from commander.tunnel.events import (
    AboutLinks,
    DataReceived,
    Entry,
    EofReceived,
    Event,
    LinkFrame,
    SentBytes,
    StreamAccepted,
    StreamRequested,
    StreamReset,
    TunnelClosed,
)
from commander.tunnel.schedule import Turns

MAX_STREAMS: Final = 1024
MIB: Final = 1024 * 1024
_MAX_CONTROL: Final = 4 * MAX_STREAMS
MAX_GAPS: Final = MAX_STREAMS
"""Streams of the client that a gateway may still have to hear of, as later ones came first."""
_FEW_STREAMS: Final = 64
_SMALL_FRAME: Final = 64
"""Room that any control frame but OPEN, RESET and CLOSE fits in."""


@dataclass(frozen=True)
class MuxLimits:
    """What one tunnel may cost in memory; the peer cannot raise any of it."""

    max_streams: int = MAX_STREAMS
    receive_budget: int = 64 * MIB
    """Bytes that all streams together may have to hold for sockets that do not drain."""
    send_budget: int = 32 * MIB
    """Unsent and unacknowledged bytes of all streams, before each is held to `send_floor`."""
    send_floor: int = 32 * 1024
    max_unsent: int = 512 * 1024
    """Bytes of one stream that wait for credit or path."""
    max_held: int = 4 * MIB + 256 * 1024
    """Unsent and unacknowledged bytes of one stream."""


class _Stream:
    __slots__ = ("id", "is_accepted", "meta", "receiver", "sender")

    def __init__(self, number: int, meta: bytes = b"") -> None:
        self.id = number
        self.is_accepted = False
        self.meta = meta
        self.sender = SendBuffer()
        self.receiver = ReceiveWindow()


class Mux:
    """
    One end of a tunnel: many byte streams over any number of links that come and go.

    Feed opened messages to `receive` and handle the events it returns; tell by `set_lanes` which
    links to send on, and let `put` fill a message for one of them while it takes more. Keep what
    `put` returns until the peer confirmed the message, and hand it to `lost` when its link died
    before. Links may overtake each other and repeat what was sent before; within one link the
    order holds. Does no IO and reads no clock. Only clients open streams: ids are odd, rise by
    two and are never used again. After ProtocolViolation, or TunnelClosed, throw the object away.
    """

    def __init__(self, role: Role, limits: MuxLimits | None = None) -> None:
        self.role = role
        self.limits = limits or MuxLimits()
        self.streams_total = 0
        self.bytes_received = 0
        self.bytes_sent = 0
        self._streams: dict[int, _Stream] = {}
        self._next_id = 1
        self._gaps: set[int] = set()
        self._lanes: tuple[int, ...] = ()
        self._turns = Turns()
        self._control: deque[bytes] = deque()
        self._due: dict[int, _Stream] = {}
        self._granted = 0
        self._held = 0
        self._eased: set[int] = set()
        self._is_closed = False

    # --- what the owner asks ---------------------------------------------------------------

    def set_lanes(self, lanes: Sequence[int]) -> None:
        """
        Send on these links from now on, the leading one first; none while all are lost.

        Control frames and what is interactive go by the leading link. When another leads, streams
        that the peer may not know of yet are opened again there, since nothing about a stream
        may arrive before its OPEN.
        """
        changed = tuple(lanes[:1]) != self._lanes[:1]
        self._lanes = tuple(lanes)
        self._turns.set_lanes(self._lanes)
        if changed and self._lanes and self.role is Role.CLIENT:
            again = [_open_frame(s) for s in self._streams.values() if not s.is_accepted]
            waiting = set(self._control)
            self._control.extendleft(f for f in reversed(again) if f not in waiting)

    def lost(self, entries: Iterable[Entry]) -> None:
        """
        Send again what may not have arrived because its link died.

        Acknowledgements and credit of all streams are told again too.
        """
        again: list[bytes] = []
        for entry in entries:
            if isinstance(entry, bytes):
                again.append(entry)
            elif (state := self._streams.get(entry.stream)) is not None:
                state.sender.lose(entry.offset, entry.length)
                self._schedule(state)
        if not self._is_closed:
            self._control.extendleft(reversed(again))
        for state in self._streams.values():
            state.receiver.acked = state.receiver.told = 0
            self._due[state.id] = state

    def open(self, meta: bytes) -> int:
        """
        Open a stream and return its id; bytes may be sent at once.

        Raises StreamRefused when too many are open, InvalidInput for meta over 4 KiB.
        """
        assert self.role is Role.CLIENT
        if len(meta) > frames.MAX_META_BYTES:
            raise InvalidInput(f"stream meta has {len(meta)} bytes, the limit is 4096")
        if len(self._streams) >= self.limits.max_streams or len(self._control) >= _MAX_CONTROL:
            raise StreamRefused(
                ResetCode.TOO_MANY_STREAMS,
                f"the tunnel has {len(self._streams)} open connections, which is its limit",
                hint="close some connections, or start a second tunnel",
            )
        stream = self._add(self._next_id, meta)
        self._next_id += 2
        self._control.append(_open_frame(stream))
        self._consider_grant(stream)
        return stream.id

    def accept(self, stream: int) -> None:
        """Tell the client that its stream is connected. No effect once the stream is gone."""
        if (state := self._streams.get(stream)) is not None:
            state.is_accepted = True
            self._control.append(frames.serialize(frames.Opened(stream)))
            self._consider_grant(state)

    def send(self, stream: int, data: frames.Bytes) -> None:
        """
        Take bytes of the local socket; keep to `room`. No effect once the stream is gone.

        The object belongs to the mux from now on: do not change it.
        """
        state = self._streams.get(stream)
        if state is None or not data:
            return
        state.sender.append(data)
        self._held += len(data)
        self._schedule(state)

    def eof(self, stream: int) -> None:
        """Say that the local socket sends no more. No effect the second time."""
        state = self._streams.get(stream)
        if state is not None and not state.sender.eof:
            state.sender.eof = True
            self._schedule(state)
            if state.receiver.eof:
                self._due[state.id] = state

    def reset(self, stream: int, code: ResetCode, reason: str = "") -> None:
        """End a stream at once, both ways. No effect once the stream is gone."""
        if stream in self._streams:
            self._remove(stream)
            self._reset(stream, code, reason)

    def drained(self, stream: int, size: int) -> None:
        """Say that the local socket took `size` more bytes, so that the peer may go on."""
        state = self._streams.get(stream)
        if state is None or size == 0:
            return
        receiver = state.receiver
        receiver.drained += size
        self._granted -= size
        assert receiver.drained <= receiver.received
        if receiver.is_grant_due:
            self._consider_grant(state)

    def prefer(self, generation: int) -> None:
        """Tell the gateway on which link, and its group, to send."""
        assert self.role is Role.CLIENT
        self._control.append(frames.serialize(frames.Prefer(generation)))

    def abandon(self, generation: int) -> None:
        """Tell the peer that a link was dropped here, before it finds out by itself."""
        self._control.append(frames.serialize(frames.Abandon(generation)))

    def close(self, code: CloseCode, reason: str = "") -> None:
        """Make CLOSE the only thing left to send."""
        self._control.clear()
        self._control.append(frames.serialize(frames.Close(code, frames.clip_reason(reason))))
        self._is_closed = True

    def acknowledge(self) -> None:
        """Acknowledge small remainders too; call it now and then, as with each heartbeat."""
        for state in self._streams.values():
            if state.receiver.position > state.receiver.acked:
                self._due[state.id] = state

    def room(self, stream: int) -> int:
        """Bytes that `send` may be given now for this stream: 0 means stop reading its socket."""
        state = self._streams.get(stream)
        if state is None:
            return 0
        limits, sender, end = self.limits, state.sender, state.sender.end
        room = min(limits.max_unsent - end + sender.sent, limits.max_held - end + sender.acked)
        if self._held >= limits.send_budget:
            room = min(room, limits.send_floor - sender.held)
        return max(room, 0)

    def take_eased(self) -> set[int]:
        """Streams whose `room` may have grown since the last call."""
        eased, self._eased = self._eased, set()
        return eased

    @property
    def streams_open(self) -> int:
        """Streams that are not over yet."""
        return len(self._streams)

    def has_stream(self, stream: int) -> bool:
        """Whether a stream is not over yet."""
        return stream in self._streams

    @property
    def held_bytes(self) -> int:
        """Unsent and unacknowledged bytes of all streams."""
        return self._held

    def buffer_limit(self, stream: int) -> int:
        """How much of the stream's window may lie in front of the local socket before it waits."""
        state = self._streams.get(stream)
        return state.receiver.window // 4 if state is not None else INITIAL_CREDIT

    # --- out -------------------------------------------------------------------------------

    def has_pending(self) -> bool:
        """Whether anything may wait for any link: most calls to send find nothing, and ask this first."""
        return bool(self._control or ((self._due or self._turns.waiting) and not self._is_closed))

    def put(
        self, parts: list[frames.Bytes], room: int, lane: int, *, with_data: bool = True
    ) -> list[Entry]:
        """
        Append frames for a link to a message that has `room` bytes left; returns what to keep.

        Control frames come first, then small chunks (interactive streams), then bulk: one
        stream after the other, so that none starves. `with_data` False leaves the bytes of
        streams for later: reports and credit must flow even when enough is in flight, or two
        full directions would wait for each other.
        """
        entries: list[Entry] = []
        if lane not in self._lanes:
            return entries
        if lane == self._lanes[0]:
            room = self._put_control(parts, room, entries)
            if self._control or self._is_closed:
                # Nothing of a stream may overtake its OPEN.
                return entries
            room = self._put_due(parts, room, entries)
        if with_data and self._turns.waiting and not self._is_closed:
            self._put_data(parts, room, lane, entries)
        return entries

    def _put_control(self, parts: list[frames.Bytes], room: int, entries: list[Entry]) -> int:
        while self._control and len(self._control[0]) <= room:
            frame = self._control.popleft()
            parts.append(frame)
            room -= len(frame)
            if frame[0] in frames.STREAM_CONTROL:
                entries.append(frame)
        return room

    def _put_due(self, parts: list[frames.Bytes], room: int, entries: list[Entry]) -> int:
        while self._due and room >= _SMALL_FRAME and len(parts) < frames.MAX_FRAMES // 2:
            stream, state = self._due.popitem()
            receiver = state.receiver
            if receiver.position > receiver.acked:
                receiver.acked = receiver.position
                ack = frames.serialize(frames.Ack(stream, receiver.acked))
                parts.append(ack)
                room -= len(ack)
                if receiver.eof:
                    # The stream may be over here, and forgotten, before the peer has this.
                    entries.append(ack)
            grant = receiver.next_grant(self._spare())
            if grant:
                self._granted += grant - receiver.granted
                receiver.granted = grant
            if receiver.granted > receiver.told and not receiver.eof:
                receiver.told = receiver.granted
                parts.append(frames.serialize(frames.Credit(stream, receiver.granted)))
                room -= len(parts[-1])
            self._finish_if_over(state)
        return room

    def _put_data(
        self, parts: list[frames.Bytes], room: int, lane: int, entries: list[Entry]
    ) -> None:
        limit, turns = len(parts) + frames.MAX_FRAMES // 4, self._turns
        turns.start_message(room)
        while turns.waiting and room > _SMALL_FRAME and len(parts) < limit:
            turn = turns.next(room, lane)
            if turn is None:
                return
            room -= self._put_stream(
                parts, self._streams[turn.stream], min(turn.limit, room), entries
            )

    def _put_stream(
        self, parts: list[frames.Bytes], state: _Stream, limit: int, entries: list[Entry]
    ) -> int:
        sender, used = state.sender, 0
        if sender.sendable > 0:
            offset, data = sender.take(limit - frames.DATA_HEADER_BYTES)
            parts.append(frames.data_header(state.id, offset, len(data)))
            parts.append(data)
            entries.append(SentBytes(state.id, offset, len(data)))
            used = frames.DATA_HEADER_BYTES + len(data)
            self.bytes_sent += len(data)
            self._eased.add(state.id)
        if sender.is_eof_due and limit - used >= frames.DATA_HEADER_BYTES:
            parts.append(frames.serialize(frames.Eof(state.id, sender.take_eof())))
            entries.append(SentBytes(state.id, sender.end, 0))
            used += len(parts[-1])
        self._schedule(state)
        return used

    # --- in --------------------------------------------------------------------------------

    def receive(self, message: bytes) -> list[Event]:
        """
        Take one opened message and return what it means, in order.

        Data in events are views into `message`. Raises ProtocolViolation, after which the
        tunnel must be closed with PROTOCOL_ERROR.
        """
        events: list[Event] = []
        for frame in frames.parse(message):
            _HANDLERS[type(frame)](self, frame, events)
            if self._is_closed:
                break
        return events

    def _on_open(self, frame: frames.Open, events: list[Event]) -> None:
        if self.role is not Role.GATEWAY:
            raise ProtocolViolation("a stream is opened by the wrong end")
        if not self._is_new(frame.stream):
            return
        if len(self._control) >= _MAX_CONTROL:
            raise ProtocolViolation("too many streams are opened while the path is blocked")
        if len(self._streams) >= self.limits.max_streams:
            self._reset(frame.stream, ResetCode.TOO_MANY_STREAMS, "too many open connections")
            return
        self._add(frame.stream)
        events.append(StreamRequested(frame.stream, frame.meta))

    def _is_new(self, stream: int) -> bool:
        """Whether the client names a stream the first time; it counts as named from now on."""
        if stream % 2 == 0:
            raise ProtocolViolation("a stream of a client has an even number")
        if stream < self._next_id:
            is_new = stream in self._gaps
            self._gaps.discard(stream)
            return is_new
        if len(self._gaps) + (stream - self._next_id) // 2 > MAX_GAPS:
            raise ProtocolViolation("streams are opened too far out of turn")
        self._gaps.update(range(self._next_id, stream, 2))
        self._next_id = stream + 2
        return True

    def _on_opened(self, frame: frames.Opened, events: list[Event]) -> None:
        if self.role is not Role.CLIENT:
            raise ProtocolViolation("a stream is accepted by the wrong end")
        if (state := self._known(frame.stream)) is not None:
            self._note_accepted(state, events)

    def _note_accepted(self, state: _Stream, events: list[Event]) -> None:
        if not state.is_accepted:
            state.is_accepted = True
            state.meta = b""
            events.append(StreamAccepted(state.id))

    def _on_data(self, frame: frames.Data, events: list[Event]) -> None:
        state = self._known_open(frame.stream, events)
        if state is None:
            return
        for data in state.receiver.receive(frame.offset, frame.data):
            self.bytes_received += len(data)
            events.append(DataReceived(frame.stream, data))
        # Unacknowledged remainders of all streams together stay below half of the peer's
        # send budget, or a crowd of quiet streams would stop the busy ones.
        step = ACK_STEP if len(self._streams) <= _FEW_STREAMS else ACK_STEP // 16
        if state.receiver.is_ack_due(step):
            self._due[state.id] = state
        if state.receiver.eof:
            self._note_end(state, events)

    def _on_eof(self, frame: frames.Eof, events: list[Event]) -> None:
        state = self._known_open(frame.stream, events)
        if state is None:
            return
        was_complete = state.receiver.eof
        state.receiver.receive_eof(frame.offset)
        if state.receiver.eof and not was_complete:
            self._note_end(state, events)

    def _note_end(self, state: _Stream, events: list[Event]) -> None:
        events.append(EofReceived(state.id))
        if state.sender.eof:
            # The stream may be over with this word. Else it goes with our own end, or with a heartbeat.
            self._due[state.id] = state

    def _on_reset(self, frame: frames.Reset, events: list[Event]) -> None:
        if self.role is Role.GATEWAY and self._is_new(frame.stream):
            # It overtook its OPEN, which will be ignored now.
            return
        if self._known(frame.stream) is not None:
            self._remove(frame.stream)
            events.append(StreamReset(frame.stream, ResetCode.of(frame.code), frame.reason))

    def _on_credit(self, frame: frames.Credit, events: list[Event]) -> None:
        if (state := self._known(frame.stream)) is not None:
            state.sender.raise_credit(frame.max_offset)
            self._schedule(state)

    def _on_ack(self, frame: frames.Ack, events: list[Event]) -> None:
        state = self._known(frame.stream)
        if state is None:
            return
        before, all_before = state.sender.held, self._held
        state.sender.acknowledge(frame.received)
        self._held -= before - state.sender.held
        self._eased.add(state.id)
        if all_before >= self.limits.send_budget > self._held:
            self._eased.update(self._streams)
        self._finish_if_over(state)

    def _on_link_frame(self, frame: LinkFrame | AboutLinks, events: list[Event]) -> None:
        if isinstance(frame, frames.Prefer) and self.role is Role.CLIENT:
            raise ProtocolViolation("a gateway may not choose the path")
        events.append(frame)

    def _on_close(self, frame: frames.Close, events: list[Event]) -> None:
        self._control.clear()
        self._is_closed = True
        events.append(TunnelClosed(CloseCode.of(frame.code), frame.reason))

    # --- state -----------------------------------------------------------------------------

    def _known(self, stream: int) -> _Stream | None:
        """The stream, or None for one that is over; frames may still be under way to it."""
        if stream % 2 == 0 or stream >= self._next_id or stream in self._gaps:
            raise ProtocolViolation("a frame names a stream that was never opened")
        return self._streams.get(stream)

    def _known_open(self, stream: int, events: list[Event]) -> _Stream | None:
        """The same for bytes: whatever a gateway sends says that it has accepted the stream."""
        state = self._known(stream)
        if state is not None and self.role is Role.CLIENT:
            self._note_accepted(state, events)
        return state

    def _add(self, number: int, meta: bytes = b"") -> _Stream:
        state = self._streams[number] = _Stream(number, meta)
        self.streams_total += 1
        self._granted += INITIAL_CREDIT
        return state

    def _remove(self, stream: int) -> None:
        state = self._streams.pop(stream)
        self._granted -= state.receiver.outstanding
        self._held -= state.sender.held
        self._due.pop(stream, None)
        self._turns.forget(stream)
        self._eased.discard(stream)

    def _finish_if_over(self, state: _Stream) -> None:
        # The peer must have been told that its end arrived, or it would keep the stream.
        receiver = state.receiver
        is_over = state.sender.is_complete and receiver.eof and receiver.acked == receiver.position
        if is_over and state.id in self._streams:
            self._remove(state.id)

    def _reset(self, stream: int, code: ResetCode, reason: str) -> None:
        self._control.append(
            frames.serialize(frames.Reset(stream, code, frames.clip_reason(reason)))
        )

    def _schedule(self, state: _Stream) -> None:
        if state.id in self._turns.waiting:
            return
        sender = state.sender
        sendable = sender.sendable
        if sendable > 0 or sender.is_eof_due:
            unsent = max(sendable, sender.unsent)
            self._turns.add(state.id, unsent, is_accepted=state.is_accepted)

    def _consider_grant(self, state: _Stream) -> None:
        if state.receiver.next_grant(self._spare()):
            self._due[state.id] = state

    def _spare(self) -> int:
        limits = self.limits
        unopened = limits.max_streams - len(self._streams)
        return limits.receive_budget - self._granted - unopened * INITIAL_CREDIT


def _open_frame(stream: _Stream) -> bytes:
    return frames.serialize(frames.Open(stream.id, stream.meta))


_HANDLERS: dict[type[Any], Callable[[Mux, Any, list[Event]], None]] = {
    frames.Open: Mux._on_open,
    frames.Opened: Mux._on_opened,
    frames.Data: Mux._on_data,
    frames.Eof: Mux._on_eof,
    frames.Reset: Mux._on_reset,
    frames.Credit: Mux._on_credit,
    frames.Ack: Mux._on_ack,
    frames.Ping: Mux._on_link_frame,
    frames.Pong: Mux._on_link_frame,
    frames.Progress: Mux._on_link_frame,
    frames.Bye: Mux._on_link_frame,
    frames.Abandon: Mux._on_link_frame,
    frames.Prefer: Mux._on_link_frame,
    frames.Close: Mux._on_close,
}
