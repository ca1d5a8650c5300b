from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from commander.errors import InvalidInput
from commander.tunnel import frames
from commander.tunnel.buffers import ACK_STEP, INITIAL_CREDIT, ReceiveWindow, SendBuffer
from commander.tunnel.codes import CloseCode, ProtocolViolation, ResetCode, Role, StreamRefused
from commander.tunnel.schedule import Turns

MAX_STREAMS: Final = 1024
MIB: Final = 1024 * 1024
_MAX_CONTROL: Final = 4 * MAX_STREAMS
_MAX_PONGS: Final = 16
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
    max_unsent: int = 256 * 1024
    """Bytes of one stream that wait for credit or path."""
    max_held: int = 4 * MIB + 256 * 1024
    """Unsent and unacknowledged bytes of one stream."""


class StreamRequested(NamedTuple):
    """The client opened a stream; answer with `accept` or `reset`."""

    stream: int
    meta: bytes


class StreamAccepted(NamedTuple):
    """The far end of our stream is connected."""

    stream: int


class DataReceived(NamedTuple):
    """Bytes to deliver; call `drained` once the local socket took them."""

    stream: int
    data: frames.Bytes


class EofReceived(NamedTuple):
    """The peer's direction is complete."""

    stream: int


class StreamReset(NamedTuple):
    """The peer ended the stream at once; it is gone."""

    stream: int
    code: ResetCode
    reason: str


class PongReceived(NamedTuple):
    """The answer to a `ping`."""

    token: int


class ProgressReceived(NamedTuple):
    """How many message bytes of this generation the peer has."""

    received: int


class TunnelClosed(NamedTuple):
    """The peer closed the tunnel; no event follows."""

    code: CloseCode
    reason: str


Event = (
    StreamRequested
    | StreamAccepted
    | DataReceived
    | EofReceived
    | StreamReset
    | PongReceived
    | ProgressReceived
    | TunnelClosed
)


class _Stream:
    __slots__ = ("id", "is_accepted", "receiver", "sender")

    def __init__(self, number: int, *, is_accepted: bool) -> None:
        self.id = number
        self.is_accepted = is_accepted
        self.sender = SendBuffer()
        self.receiver = ReceiveWindow()


class Mux:
    """
    One end of a tunnel: many byte streams over one ordered sequence of messages.

    Feed opened messages to `receive` and handle the events it returns; then send what
    `data_to_send` gives while `has_pending` and the path takes it. Does no IO and reads no
    clock. Only clients open streams: ids are odd, rise by two and are never used again.
    After ProtocolViolation, or TunnelClosed, throw the object away.
    """

    def __init__(self, role: Role, limits: MuxLimits | None = None) -> None:
        self.role = role
        self.limits = limits or MuxLimits()
        self.streams_total = 0
        self.bytes_received = 0
        self.bytes_sent = 0
        self._streams: dict[int, _Stream] = {}
        self._next_id = 1
        self._turns = Turns()
        self._control: deque[bytes] = deque()
        self._due: dict[int, _Stream] = {}
        self._pongs: deque[int] = deque(maxlen=_MAX_PONGS)
        self._progress = 0
        self._granted = 0
        self._held = 0
        self._eased: set[int] = set()
        self._is_closed = False
        self._message_bytes = 0
        self.set_message_limit(16 * 1024)

    # --- what the owner asks ---------------------------------------------------------------

    def set_message_limit(self, size: int) -> None:
        """Set the largest message that `data_to_send` makes; derived from the path in use."""
        assert size >= frames.MAX_META_BYTES + _SMALL_FRAME
        self._message_bytes = size

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
        stream = self._add(self._next_id, is_accepted=False)
        self._control.append(frames.serialize(frames.Open(stream.id, meta)))
        self._consider_grant(stream)
        return stream.id

    def accept(self, stream: int) -> None:
        """Tell the client that its stream is connected. No effect once the stream is gone."""
        state = self._streams.get(stream)
        if state is not None:
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
        state.receiver.drained += size
        self._granted -= size
        assert state.receiver.drained <= state.receiver.received
        self._consider_grant(state)

    def ping(self, token: int) -> None:
        """Ask for a Pong."""
        self._control.appendleft(frames.serialize(frames.Ping(token)))

    def progress(self, received: int) -> None:
        """Tell the peer how many message bytes of this generation came."""
        self._progress = received

    def close(self, code: CloseCode, reason: str = "") -> None:
        """Make CLOSE the only thing left to send."""
        text = frames.clip_reason(reason)
        self._control.clear()
        self._control.append(frames.serialize(frames.Close(code, text)))
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
        limits, sender = self.limits, state.sender
        room = min(limits.max_unsent - sender.unsent, limits.max_held - sender.held)
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

    @property
    def held_bytes(self) -> int:
        """Unsent and unacknowledged bytes of all streams."""
        return self._held

    def has_stream(self, stream: int) -> bool:
        """Whether a stream is not over yet."""
        return stream in self._streams

    def buffer_limit(self, stream: int) -> int:
        """How much of the stream's window may lie in front of the local socket before it waits."""
        state = self._streams.get(stream)
        return state.receiver.window // 4 if state is not None else INITIAL_CREDIT

    # --- out -------------------------------------------------------------------------------

    def has_control(self) -> bool:
        """Whether there is anything but bytes of streams to send."""
        if self._is_closed:
            return bool(self._control)
        return bool(self._control or self._due or self._pongs or self._progress)

    def has_pending(self) -> bool:
        """Whether `data_to_send` has something to give."""
        return self.has_control() or not (self._is_closed or self._turns.is_empty)

    def data_to_send(self, *, with_data: bool = True) -> bytes:
        """
        Build the next message; empty when nothing turned out to be worth one.

        Control frames come first, then small chunks (interactive streams) in up to half
        of the message, then bulk: one stream after the other, so that none starves.
        `with_data` False leaves the bytes of streams for later: reports and credit must flow
        even when enough is in flight, or two full directions would wait for each other.
        """
        parts: list[frames.Bytes] = [frames.VERSION_BYTE]
        room = self._message_bytes - 1
        room = self._put_control(parts, room)
        if not self._is_closed:
            room = self._put_due(parts, room)
            if with_data:
                self._put_data(parts, room)
        return b"".join(parts) if len(parts) > 1 else b""

    def _put_control(self, parts: list[frames.Bytes], room: int) -> int:
        while self._control and len(self._control[0]) <= room:
            parts.append(self._control.popleft())
            room -= len(parts[-1])
        while self._pongs and room >= _SMALL_FRAME and not self._is_closed:
            parts.append(frames.serialize(frames.Pong(self._pongs.popleft())))
            room -= len(parts[-1])
        if self._progress and room >= _SMALL_FRAME and not self._is_closed:
            parts.append(frames.serialize(frames.Progress(self._progress)))
            room -= len(parts[-1])
            self._progress = 0
        return room

    def _put_due(self, parts: list[frames.Bytes], room: int) -> int:
        while self._due and room >= _SMALL_FRAME and len(parts) < frames.MAX_FRAMES // 2:
            stream, state = self._due.popitem()
            receiver = state.receiver
            if receiver.position > receiver.acked:
                receiver.acked = receiver.position
                parts.append(frames.serialize(frames.Ack(stream, receiver.acked)))
                room -= len(parts[-1])
            grant = receiver.next_grant(self._spare())
            if grant:
                self._granted += grant - receiver.granted
                receiver.granted = grant
                parts.append(frames.serialize(frames.Credit(stream, grant)))
                room -= len(parts[-1])
            self._finish_if_over(state)
        return room

    def _put_data(self, parts: list[frames.Bytes], room: int) -> None:
        limit = len(parts) + frames.MAX_FRAMES // 4
        self._turns.start_message(room)
        while room > _SMALL_FRAME and len(parts) < limit:
            turn = self._turns.next(room)
            if turn is None:
                return
            room -= self._put_stream(parts, self._streams[turn.stream], min(turn.limit, room))

    def _put_stream(self, parts: list[frames.Bytes], state: _Stream, limit: int) -> int:
        sender, used = state.sender, 0
        if sender.sendable > 0:
            offset = sender.sent
            data = sender.take(limit - frames.DATA_HEADER_BYTES)
            parts.append(frames.data_header(state.id, offset, len(data)))
            parts.append(data)
            used = frames.DATA_HEADER_BYTES + len(data)
            self.bytes_sent += len(data)
            self._eased.add(state.id)
        if sender.is_eof_due and limit - used >= frames.DATA_HEADER_BYTES:
            parts.append(frames.serialize(frames.Eof(state.id, sender.take_eof())))
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
            handler = _HANDLERS.get(type(frame))
            if handler is None:
                raise ProtocolViolation("a frame kind has no place in this state")
            handler(self, frame, events)
            if self._is_closed:
                break
        return events

    def _on_open(self, frame: frames.Open, events: list[Event]) -> None:
        if self.role is not Role.GATEWAY or frame.stream != self._next_id:
            raise ProtocolViolation("a stream is opened by the wrong end or out of turn")
        if len(self._control) >= _MAX_CONTROL:
            raise ProtocolViolation("too many streams are opened while the path is blocked")
        if len(self._streams) >= self.limits.max_streams:
            self._next_id += 2
            self._reset(frame.stream, ResetCode.TOO_MANY_STREAMS, "too many open connections")
            return
        self._add(frame.stream, is_accepted=False)
        events.append(StreamRequested(frame.stream, frame.meta))

    def _on_opened(self, frame: frames.Opened, events: list[Event]) -> None:
        state = self._known(frame.stream)
        if self.role is not Role.CLIENT or (state is not None and state.is_accepted):
            raise ProtocolViolation("a stream is accepted by the wrong end or twice")
        if state is not None:
            state.is_accepted = True
            events.append(StreamAccepted(frame.stream))

    def _on_data(self, frame: frames.Data, events: list[Event]) -> None:
        state = self._known_open(frame.stream)
        if state is None:
            return
        state.receiver.receive(frame.offset, len(frame.data))
        self.bytes_received += len(frame.data)
        # Unacknowledged remainders of all streams together stay below half of the peer's
        # send budget, or a crowd of quiet streams would stop the busy ones.
        step = ACK_STEP if len(self._streams) <= _FEW_STREAMS else ACK_STEP // 16
        if state.receiver.is_ack_due(step):
            self._due[state.id] = state
        events.append(DataReceived(frame.stream, frame.data))

    def _on_eof(self, frame: frames.Eof, events: list[Event]) -> None:
        state = self._known_open(frame.stream)
        if state is not None:
            state.receiver.receive_eof(frame.offset)
            self._due[state.id] = state
            events.append(EofReceived(frame.stream))

    def _on_reset(self, frame: frames.Reset, events: list[Event]) -> None:
        if self._known(frame.stream) is not None:
            self._remove(frame.stream)
            events.append(StreamReset(frame.stream, ResetCode.of(frame.code), frame.reason))

    def _on_credit(self, frame: frames.Credit, events: list[Event]) -> None:
        state = self._known(frame.stream)
        if state is not None:
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

    def _on_ping(self, frame: frames.Ping, events: list[Event]) -> None:
        self._pongs.append(frame.token)

    def _on_pong(self, frame: frames.Pong, events: list[Event]) -> None:
        events.append(PongReceived(frame.token))

    def _on_progress(self, frame: frames.Progress, events: list[Event]) -> None:
        events.append(ProgressReceived(frame.received))

    def _on_close(self, frame: frames.Close, events: list[Event]) -> None:
        self._control.clear()
        self._is_closed = True
        events.append(TunnelClosed(CloseCode.of(frame.code), frame.reason))

    # --- state -----------------------------------------------------------------------------

    def _known(self, stream: int) -> _Stream | None:
        """The stream, or None for one that is over; frames may still be under way to it."""
        if stream % 2 == 0 or stream >= self._next_id:
            raise ProtocolViolation("a frame names a stream that was never opened")
        return self._streams.get(stream)

    def _known_open(self, stream: int) -> _Stream | None:
        state = self._known(stream)
        if state is not None and self.role is Role.CLIENT and not state.is_accepted:
            raise ProtocolViolation("data comes before its stream is accepted")
        return state

    def _add(self, number: int, *, is_accepted: bool) -> _Stream:
        state = self._streams[number] = _Stream(number, is_accepted=is_accepted)
        self._next_id = number + 2
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
        frame = frames.Reset(stream, code, frames.clip_reason(reason))
        self._control.append(frames.serialize(frame))

    def _schedule(self, state: _Stream) -> None:
        sender = state.sender
        if sender.sendable > 0 or sender.is_eof_due:
            self._turns.add(state.id, sender.unsent)

    def _consider_grant(self, state: _Stream) -> None:
        if state.receiver.next_grant(self._spare()):
            self._due[state.id] = state

    def _spare(self) -> int:
        limits = self.limits
        unopened = limits.max_streams - len(self._streams)
        return limits.receive_budget - self._granted - unopened * INITIAL_CREDIT


_HANDLERS: dict[type[Any], Callable[[Mux, Any, list[Event]], None]] = {
    frames.Open: Mux._on_open,
    frames.Opened: Mux._on_opened,
    frames.Data: Mux._on_data,
    frames.Eof: Mux._on_eof,
    frames.Reset: Mux._on_reset,
    frames.Credit: Mux._on_credit,
    frames.Ack: Mux._on_ack,
    frames.Ping: Mux._on_ping,
    frames.Pong: Mux._on_pong,
    frames.Progress: Mux._on_progress,
    frames.Close: Mux._on_close,
}
