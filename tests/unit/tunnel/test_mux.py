from __future__ import annotations

import random
from collections import defaultdict

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from commander.errors import InvalidInput
from commander.tunnel import events as told
from commander.tunnel import frames
from commander.tunnel.buffers import FIRST_WINDOW, INITIAL_CREDIT, MAX_WINDOW
from commander.tunnel.codes import CloseCode, ProtocolViolation, ResetCode, Role, StreamRefused
from commander.tunnel.mux import MAX_GAPS, Mux, MuxLimits

BIG = 64 * 1024
SMALL = 16 * 1024
LANE = 1


def client(limits: MuxLimits | None = None, lanes: tuple[int, ...] = (LANE,)) -> Mux:
    end = Mux(Role.CLIENT, limits)
    end.set_lanes(lanes)
    return end


def gateway(limits: MuxLimits | None = None, lanes: tuple[int, ...] = (LANE,)) -> Mux:
    end = Mux(Role.GATEWAY, limits)
    end.set_lanes(lanes)
    return end


def fill(
    end: Mux, lane: int = LANE, *, limit: int = SMALL, with_data: bool = True
) -> tuple[bytes, list[told.Entry]]:
    """The next message for a lane, empty when there is nothing, and what it holds."""
    parts: list[frames.Bytes] = [frames.VERSION_BYTE]
    entries = end.put(parts, limit - 1, lane, with_data=with_data)
    return (b"".join(parts) if len(parts) > 1 else b""), entries


def build(end: Mux, *, limit: int = SMALL, with_data: bool = True) -> bytes:
    return fill(end, limit=limit, with_data=with_data)[0]


def pending(end: Mux) -> bool:
    return end.has_pending()


def message(*sent: frames.Frame) -> bytes:
    return frames.message_of(sent)


def sent_frames(end: Mux, *, limit: int = SMALL) -> list[frames.Frame]:
    """Everything an end has to say, as frames."""
    out: list[frames.Frame] = []
    while pending(end):
        built = build(end, limit=limit)
        if built:
            out.extend(frames.parse(built))
    return out


def exchange(one: Mux, two: Mux) -> tuple[list[told.Event], list[told.Event]]:
    """Let both ends talk until they have nothing more to say; returns the events of each."""
    events: tuple[list[told.Event], list[told.Event]] = ([], [])
    while pending(one) or pending(two):
        for sender, receiver, seen in ((one, two, events[1]), (two, one, events[0])):
            built = build(sender) if pending(sender) else b""
            if built:
                seen.extend(receiver.receive(built))
    return events


def connected() -> tuple[Mux, Mux, int]:
    one, two = client(), gateway()
    stream = one.open(b"db:5432")
    exchange(one, two)
    two.accept(stream)
    exchange(one, two)
    return one, two, stream


def data_of(events: list[told.Event], stream: int) -> bytes:
    return b"".join(
        bytes(event.data)
        for event in events
        if isinstance(event, told.DataReceived) and event.stream == stream
    )


def test_a_stream_is_requested_accepted_and_carries_bytes_both_ways() -> None:
    """The ordinary life of a stream."""
    one, two = client(), gateway()
    stream = one.open(b"db:5432")
    one.send(stream, b"early")

    _, seen = exchange(one, two)
    assert seen[0] == told.StreamRequested(stream, b"db:5432")
    assert data_of(seen, stream) == b"early"

    two.accept(stream)
    two.send(stream, b"banner")
    seen, _ = exchange(one, two)
    assert seen[0] == told.StreamAccepted(stream)
    assert data_of(seen, stream) == b"banner"


def test_ids_are_odd_rise_by_two_and_are_never_used_again() -> None:
    """Also after a stream is over."""
    one = client()
    ids = []
    for _ in range(3):
        ids.append(one.open(b""))
        one.reset(ids[-1], ResetCode.ABORTED)
    assert ids == [1, 3, 5]


def test_half_close_leaves_the_other_direction_open() -> None:
    """The end of one direction says nothing about the other."""
    one, two, stream = connected()
    one.send(stream, b"request")
    one.eof(stream)
    _, seen = exchange(one, two)
    assert seen[-1] == told.EofReceived(stream)

    two.send(stream, b"answer")
    two.eof(stream)
    seen, _ = exchange(one, two)
    assert data_of(seen, stream) == b"answer"
    assert seen[-1] == told.EofReceived(stream)
    assert one.streams_open == two.streams_open == 0


def test_an_end_is_acknowledged_with_our_own_end() -> None:
    """Mostly it follows at once, and a message for each would be one too many; a heartbeat tells it too."""
    one, two, stream = connected()
    one.eof(stream)
    two.receive(build(one))
    assert not pending(two)
    two.acknowledge()
    assert [type(frame) for frame in frames.parse(build(two))] == [frames.Ack]
    two.eof(stream)
    assert [type(frame) for frame in frames.parse(build(two))] == [frames.Eof]

    stream = one.open(b"db:5432")
    exchange(one, two)
    two.accept(stream)
    exchange(one, two)
    one.eof(stream)
    two.receive(build(one))
    two.eof(stream)
    assert [type(frame) for frame in frames.parse(build(two))] == [frames.Ack, frames.Eof]


def test_a_finished_stream_leaves_nothing_behind() -> None:
    """After thousands of streams all tables are empty and all budgets whole."""
    one, two = client(), gateway()
    for _ in range(3000):
        stream = one.open(b"x")
        one.send(stream, b"hi")
        one.eof(stream)
        exchange(one, two)
        two.accept(stream)
        two.drained(stream, 2)
        two.eof(stream)
        exchange(one, two)
    for end in (one, two):
        assert end.streams_open == 0
        assert end.held_bytes == 0
        assert end._granted == 0
        assert not end._due
        assert not end._turns.waiting
        assert not pending(end)
    assert one.streams_total == two.streams_total == 3000


def test_a_reset_reaches_the_other_end_with_its_code() -> None:
    """And the stream is gone on both."""
    one, two, stream = connected()
    two.reset(stream, ResetCode.TARGET_REFUSED, "connection\nrefused")
    seen, _ = exchange(one, two)
    assert seen == [told.StreamReset(stream, ResetCode.TARGET_REFUSED, "connection?refused")]
    assert one.streams_open == two.streams_open == 0


def test_frames_to_a_stream_that_is_over_are_ignored() -> None:
    """What was under way when a stream was reset does no harm."""
    one, two, stream = connected()
    one.send(stream, b"late")
    late = build(one)
    two.reset(stream, ResetCode.ABORTED)
    assert two.receive(late) == []
    assert two.receive(message(frames.Credit(stream, 1), frames.Ack(stream, 1))) == []
    two.accept(stream)
    two.send(stream, b"x")
    two.eof(stream)
    two.drained(stream, 5)
    two.reset(stream, ResetCode.ABORTED)
    assert not two.has_stream(stream)
    assert (two.room(stream), two.buffer_limit(stream)) == (0, INITIAL_CREDIT)
    assert two.receive(message(frames.Eof(stream, 0), frames.Reset(stream, 1, ""))) == []
    one.reset(stream, ResetCode.ABORTED)
    assert one.receive(message(frames.Opened(stream))) == []
    assert [type(frame) for frame in sent_frames(two)] == [frames.Reset]


def test_the_1025th_stream_is_refused_on_both_sides() -> None:
    """Our own client refuses itself; a hostile one is reset, and the others live on."""
    one, two = client(), gateway()
    for _ in range(1024):
        one.open(b"")
    with pytest.raises(StreamRefused) as refusal:
        one.open(b"")
    assert refusal.value.reset_code is ResetCode.TOO_MANY_STREAMS
    exchange(one, two)
    assert two.streams_open == 1024

    assert two.receive(message(frames.Open(2049, b""))) == []
    assert two.receive(message(frames.Open(2049, b""))) == []
    sent = sent_frames(two)
    assert frames.Reset(2049, ResetCode.TOO_MANY_STREAMS, "too many open connections") in sent
    assert two.streams_open == 1024


def test_a_flood_of_refused_streams_ends_the_tunnel() -> None:
    """Refusals pile up only so far while the path takes nothing."""
    two = gateway(MuxLimits(max_streams=1))
    opens = [frames.Open(stream, b"") for stream in range(1, 8191, 2)]
    two.receive(message(*opens))
    flood = message(*[frames.Open(stream, b"") for stream in range(8191, 9000, 2)])
    with pytest.raises(ProtocolViolation):
        two.receive(flood)


def test_too_much_meta_is_refused() -> None:
    """4 KiB is the limit."""
    one = client()
    one.open(b"m" * 4096)
    with pytest.raises(InvalidInput):
        one.open(b"m" * 4097)


VIOLATIONS_OF_CLIENT: list[list[frames.Frame]] = [
    [frames.Open(2, b"")],
    [frames.Open(2 * MAX_GAPS + 3, b"")],
    [frames.Reset(2, 1, "")],
    [frames.Open(1, b""), frames.Opened(1)],
    [frames.Data(1, 0, b"x")],
    [frames.Open(1, b""), frames.Data(3, 0, b"x")],
    [frames.Open(1, b""), frames.Data(2, 0, b"x")],
    [frames.Open(3, b""), frames.Data(1, 0, b"x")],
    [frames.Open(1, b""), frames.Data(1, 0, b"x" * (INITIAL_CREDIT + 1))],
    [frames.Open(1, b""), frames.Eof(1, 1), frames.Eof(1, 2)],
    [frames.Open(1, b""), frames.Data(1, 0, b"xx"), frames.Eof(1, 1)],
    [frames.Open(1, b""), frames.Data(1, 5, b"xx"), frames.Eof(1, 6)],
    [frames.Open(1, b""), frames.Eof(1, 0), frames.Data(1, 0, b"x")],
    [frames.Open(1, b""), frames.Credit(1, MAX_WINDOW + 1)],
    [frames.Open(1, b""), frames.Ack(1, 1)],
]


@pytest.mark.parametrize("sent", VIOLATIONS_OF_CLIENT)
def test_a_gateway_ends_the_tunnel_of_a_client_that_breaks_the_rules(
    sent: list[frames.Frame],
) -> None:
    """Order, offsets, credit, parity and ids are all enforced."""
    with pytest.raises(ProtocolViolation):
        gateway().receive(message(*sent))


@pytest.mark.parametrize(
    "sent",
    [
        [frames.Open(2, b"")],
        [frames.Open(1, b"")],
        [frames.Opened(3)],
        [frames.Data(3, 0, b"x")],
        [frames.Eof(3, 0)],
    ],
)
def test_a_client_ends_the_tunnel_of_a_gateway_that_breaks_the_rules(
    sent: list[frames.Frame],
) -> None:
    """A gateway opens nothing, and names no stream that nobody opened."""
    one = client()
    one.open(b"")
    with pytest.raises(ProtocolViolation):
        one.receive(message(*sent))


def test_a_reader_that_stalls_stops_its_sender_and_nobody_else() -> None:
    """Undrained bytes never pass the window; another stream goes on."""
    one, two = client(), gateway()
    stalled, other = one.open(b""), one.open(b"")
    exchange(one, two)
    two.accept(stalled)
    two.accept(other)
    exchange(one, two)
    received = 0
    for _ in range(200):
        if one.room(stalled) >= BIG:
            one.send(stalled, bytes(BIG))
        one.send(other, b"x" * 100)
        _, seen = exchange(one, two)
        received += len(data_of(seen, stalled))
        assert data_of(seen, other) == b"x" * 100
        two.drained(other, 100)
    assert received == FIRST_WINDOW
    assert one.room(stalled) < BIG

    two.drained(stalled, received)
    _, seen = exchange(one, two)
    assert len(data_of(seen, stalled)) == FIRST_WINDOW


def test_the_window_grows_while_the_socket_keeps_pace() -> None:
    """A stream that drains gets up to 4 MiB, and never more."""
    one, two, stream = connected()
    for _ in range(1000):
        one.send(stream, bytes(BIG))
        _, seen = exchange(one, two)
        two.drained(stream, len(data_of(seen, stream)))
        assert two._streams[stream].receiver.outstanding <= MAX_WINDOW
    assert two._streams[stream].receiver.window > FIRST_WINDOW


def test_all_streams_together_keep_to_the_receive_budget() -> None:
    """1,024 stalled streams may cost 64 MiB, the published bound."""
    one, two = client(), gateway()
    ids = [one.open(b"") for _ in range(1024)]
    exchange(one, two)
    for stream in ids:
        two.accept(stream)
        one.send(stream, bytes(INITIAL_CREDIT * 4))
    _, seen = exchange(one, two)
    held = sum(len(event.data) for event in seen if isinstance(event, told.DataReceived))
    assert two._granted <= 64 * 1024 * 1024
    assert held <= 64 * 1024 * 1024


def test_a_blocked_path_bounds_what_is_taken_from_sockets() -> None:
    """Per stream 256 KiB; when the tunnel is full only small shares go on."""
    one = client()
    streams = [one.open(b"") for _ in range(200)]
    taken = 0
    for stream in streams:
        while room := one.room(stream):
            one.send(stream, bytes(min(room, BIG)))
            taken += min(room, BIG)
    assert taken == one.held_bytes
    assert taken <= 32 * 1024 * 1024 + 200 * 32 * 1024 + BIG


def test_a_crowd_of_quiet_streams_does_not_stop_a_busy_one() -> None:
    """Remainders that no heartbeat acknowledged yet leave room for those who send."""
    one, two = client(), gateway()
    streams = [one.open(b"") for _ in range(1000)]
    exchange(one, two)
    for stream in streams:
        two.accept(stream)
    exchange(one, two)
    for stream in streams:
        for _ in range(2):
            one.send(stream, bytes(60_000))
            _, seen = exchange(one, two)
            two.drained(stream, len(data_of(seen, stream)))
    assert one.held_bytes < one.limits.send_budget
    assert one.room(streams[0]) >= BIG


def test_everybody_may_go_on_once_the_budget_has_room_again() -> None:
    """Also streams that were only held back by others."""
    one, two = client(MuxLimits(send_budget=1000, send_floor=10)), gateway()
    first, second = one.open(b""), one.open(b"")
    exchange(one, two)
    one.send(first, bytes(1000))
    one.send(second, bytes(10))
    assert one.room(second) == 0
    exchange(one, two)
    one.take_eased()
    one.receive(message(frames.Ack(first, 1000)))
    assert one.take_eased() == {first, second}
    assert one.room(second) > 0


def test_unacknowledged_bytes_are_kept_and_acknowledged_ones_are_not() -> None:
    """Replay needs them; an ACK frees them, also for small remainders."""
    one, two, stream = connected()
    one.send(stream, b"x" * 1000)
    exchange(one, two)
    assert one.held_bytes == 1000

    two.acknowledge()
    exchange(one, two)
    assert one.held_bytes == 0
    assert one.take_eased() == {stream}


def test_interactive_bytes_overtake_bulk() -> None:
    """A keystroke goes out with the next message although megabytes wait."""
    one, two = client(), gateway()
    bulk, keys = one.open(b""), one.open(b"")
    exchange(one, two)
    two.accept(bulk)
    two.accept(keys)
    exchange(one, two)
    one.send(bulk, bytes(200_000))
    build(one)
    one.send(keys, b"k")

    first = [f for f in frames.parse(build(one, limit=BIG)) if isinstance(f, frames.Data)]
    assert first[0].stream == keys
    assert first[1].stream == bulk


def test_many_interactive_streams_do_not_starve_bulk() -> None:
    """Small chunks take half of a message at most while bulk waits."""
    one, two = client(), gateway()
    bulk = one.open(b"")
    small = [one.open(b"") for _ in range(100)]
    exchange(one, two)
    one.send(bulk, bytes(INITIAL_CREDIT))
    for stream in small:
        one.send(stream, bytes(4000))
    first = frames.parse(build(one))
    sizes: dict[bool, int] = defaultdict(int)
    for frame in first:
        if isinstance(frame, frames.Data):
            sizes[frame.stream == bulk] += len(frame.data)
    assert sizes[True] >= 4000
    assert sizes[False] >= 4000


def test_bulk_streams_take_turns() -> None:
    """With several busy streams no one sends twice before the others sent once."""
    one, two = client(), gateway()
    streams = [one.open(b"") for _ in range(4)]
    exchange(one, two)
    for stream in streams:
        one.send(stream, bytes(INITIAL_CREDIT))
    order = [
        frame.stream for frame in sent_frames(one, limit=8 * 1024) if isinstance(frame, frames.Data)
    ]
    assert sorted(order[:4]) == streams
    assert sorted(order[4:8]) == streams


def test_a_million_small_writes_cost_few_objects() -> None:
    """One-byte writes are joined, before and after they are sent."""
    one, two, stream = connected()
    for _ in range(100_000):
        one.send(stream, b"x")
    sender = one._streams[stream].sender
    assert len(sender._unsent) < 20
    _, seen = exchange(one, two)
    assert data_of(seen, stream) == b"x" * 100_000
    for _ in range(1000):
        one.send(stream, b"y")
        exchange(one, two)
    assert len(sender._kept) < 20


@pytest.mark.parametrize(
    "frame", [frames.Ping(7), frames.Pong(7), frames.Progress(9), frames.Bye(), frames.Abandon(3)]
)
def test_frames_about_links_are_passed_on(frame: frames.Frame) -> None:
    """The owner of the links handles them; streams are not touched."""
    for end in (client(), gateway()):
        assert end.receive(message(frame)) == [frame]


def test_only_a_client_chooses_the_path() -> None:
    """Its choice is passed on; a gateway's is a violation."""
    assert gateway().receive(message(frames.Prefer(4))) == [frames.Prefer(4)]
    with pytest.raises(ProtocolViolation):
        client().receive(message(frames.Prefer(4)))


def test_the_choice_of_a_path_and_a_dropped_link_are_told() -> None:
    """On the leading link; they are not repeated if it is lost, since they may be old by then."""
    one = client()
    one.prefer(4)
    one.abandon(2)
    built, entries = fill(one)
    assert frames.parse(built) == [frames.Prefer(4), frames.Abandon(2)]
    assert entries == []


def test_credit_flows_while_data_must_wait() -> None:
    """Two directions that are both full could otherwise wait for each other for ever."""
    one, two, stream = connected()
    one.send(stream, b"waits")
    assert pending(one)
    assert build(one, with_data=False) == b""
    two.send(stream, bytes(INITIAL_CREDIT))
    built = build(two)
    seen = one.receive(built)
    assert len(data_of(seen, stream)) > 0
    one.acknowledge()
    kinds = [type(frame) for frame in frames.parse(build(one, with_data=False))]
    assert kinds == [frames.Ack]


def test_messages_that_are_nearly_full_leave_control_for_the_next() -> None:
    """Every frame is whole, whatever the room; none is lost, and none overtakes its OPEN."""
    one, two = client(), gateway()
    for _ in range(40):
        stream = one.open(b"m" * 1000)
        one.send(stream, b"x" * 3000)
    built = []
    while pending(one):
        built.append(build(one, limit=5000))
        two.receive(built[-1])
    assert all(len(part) <= 5000 for part in built)
    kinds = [type(frame) for part in built for frame in frames.parse(part)]
    assert kinds.count(frames.Open) == kinds.count(frames.Credit) == 40
    assert two.bytes_received == 40 * 3000


def test_end_and_acknowledgement_are_not_repeated() -> None:
    """A second end, and heartbeats with nothing new, send nothing."""
    one, two, stream = connected()
    one.eof(stream)
    one.eof(stream)
    assert sent_frames(one) == [frames.Eof(stream, 0)]
    two.acknowledge()
    assert sent_frames(two) == []


def test_close_is_the_last_word() -> None:
    """Whatever waited is dropped; nothing after CLOSE counts."""
    one, two, stream = connected()
    one.send(stream, b"never")
    one.close(CloseCode.STOPPED, "done")
    assert sent_frames(one) == [frames.Close(CloseCode.STOPPED, "done")]

    seen = two.receive(message(frames.Close(CloseCode.REVOKED, "bye"), frames.Ping(1)))
    assert seen == [told.TunnelClosed(CloseCode.REVOKED, "bye")]
    assert not pending(two)


def test_codes_of_a_later_version_are_read_as_other() -> None:
    """An unknown number is no error."""
    one, two, stream = connected()
    two.receive(message(frames.Reset(stream, 999, "")))
    assert one.receive(message(frames.Close(999, ""))) == [told.TunnelClosed(CloseCode.OTHER, "")]


class _Model:
    """What each stream should have delivered, whatever the order of everything else."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.ends = {Role.CLIENT: client(), Role.GATEWAY: gateway()}
        self.wire: dict[Role, list[bytes]] = {Role.CLIENT: [], Role.GATEWAY: []}
        self.written: dict[tuple[Role, int], bytearray] = defaultdict(bytearray)
        self.arrived: dict[tuple[Role, int], bytearray] = defaultdict(bytearray)
        self.undrained: dict[tuple[Role, int], int] = defaultdict(int)
        self.ended: set[tuple[Role, int]] = set()
        self.end_seen: set[tuple[Role, int]] = set()
        self.streams: list[int] = []
        self.killed: set[int] = set()

    def step(self) -> None:
        role = self.rng.choice(list(Role))
        action = self.rng.choice([self.open, self.write, self.write, self.end, self.carry,
                                  self.carry, self.deliver, self.deliver, self.drain, self.kill])  # fmt: skip
        action(role)

    def open(self, role: Role) -> None:
        self.streams.append(self.ends[Role.CLIENT].open(b"m"))

    def write(self, role: Role) -> None:
        if not self.streams:
            return
        stream = self.rng.choice(self.streams)
        key = (role, stream)
        if key in self.ended or self.ends[role].room(stream) == 0:
            return
        if role is Role.GATEWAY and not self.ends[role]._streams[stream].is_accepted:
            return
        size = min(self.rng.choice([1, 10, 5000, BIG]), self.ends[role].room(stream))
        data = self.rng.randbytes(size)
        self.written[key] += data
        self.ends[role].send(stream, data)

    def end(self, role: Role) -> None:
        end = self.ends[role]
        known = [stream for stream in self.streams if end.has_stream(stream)]
        if role is Role.GATEWAY:
            known = [stream for stream in known if end._streams[stream].is_accepted]
        if known:
            stream = self.rng.choice(known)
            self.ended.add((role, stream))
            end.eof(stream)

    def kill(self, role: Role) -> None:
        if self.streams and self.rng.random() < 0.3:
            stream = self.rng.choice(self.streams)
            if self.ends[role].has_stream(stream):
                self.killed.add(stream)
                self.ends[role].reset(stream, ResetCode.ABORTED)

    def carry(self, role: Role) -> None:
        end = self.ends[role]
        if self.rng.random() < 0.2:
            end.acknowledge()
        built = build(end) if pending(end) else b""
        if built:
            self.wire[role].append(built)

    def deliver(self, role: Role) -> None:
        if not self.wire[role]:
            return
        receiver = self.ends[role.peer]
        for event in receiver.receive(self.wire[role].pop(0)):
            match event:
                case told.StreamRequested(stream, _):
                    receiver.accept(stream)
                case told.DataReceived(stream, data):
                    assert (role, stream) not in self.end_seen
                    self.arrived[role, stream] += data
                    self.undrained[role, stream] += len(data)
                case told.EofReceived(stream):
                    self.end_seen.add((role, stream))
                case told.StreamReset(stream, code, _):
                    assert stream in self.killed
                    assert code is ResetCode.ABORTED
                case _:
                    assert isinstance(event, told.StreamAccepted)

    def drain(self, role: Role) -> None:
        for (sender, stream), size in list(self.undrained.items()):
            if sender is role and size:
                part = self.rng.randint(0, size)
                self.undrained[sender, stream] -= part
                self.ends[sender.peer].drained(stream, part)

    def settle(self) -> None:
        for _ in range(5_000):
            for role in Role:
                self.carry(role)
                self.deliver(role)
                self.drain(role)
                for stream in self.streams:
                    state = self.ends[role]._streams.get(stream)
                    if state is not None and (role is Role.CLIENT or state.is_accepted):
                        self.ended.add((role, stream))
                        self.ends[role].eof(stream)
            if not any(end.streams_open or pending(end) for end in self.ends.values()):
                return
        raise AssertionError("the two ends never came to rest")


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32), steps=st.integers(0, 300))
def test_two_ends_deliver_every_byte_once_and_in_order(seed: int, steps: int) -> None:
    """Whatever the order of writes, resets, messages and drains; after a reset it is a prefix."""
    model = _Model(random.Random(seed))
    for _ in range(steps):
        model.step()
    model.settle()
    for key in model.written.keys() | model.arrived.keys():
        assert model.written[key].startswith(model.arrived[key])
        if key[1] not in model.killed:
            assert model.arrived[key] == model.written[key]
    for end in model.ends.values():
        assert end.held_bytes == 0
        assert end._granted == 0


@settings(max_examples=30)
@given(limit=st.integers(5000, BIG), sizes=st.lists(st.integers(1, 20_000), max_size=10))
def test_events_do_not_depend_on_how_messages_are_cut(limit: int, sizes: list[int]) -> None:
    """Any message size of the path gives the same bytes in the same order."""
    one, two, stream = connected()
    written = b"".join(bytes([index]) * size for index, size in enumerate(sizes))
    for index, size in enumerate(sizes):
        one.send(stream, bytes([index]) * size)
    one.eof(stream)
    seen: list[told.Event] = []
    while pending(one):
        seen.extend(two.receive(build(one, limit=limit)))
    assert data_of(seen, stream) == written[: len(data_of(seen, stream))]
    assert len(data_of(seen, stream)) == min(len(written), FIRST_WINDOW)


@given(st.binary(max_size=200), st.sampled_from(list(Role)))
def test_random_messages_give_events_or_the_one_error(noise: bytes, role: Role) -> None:
    """No other exception leaves the state machine."""
    end = Mux(role)
    if role is Role.CLIENT:
        end.open(b"")
    for built in (noise, b"\x01" + noise):
        try:
            end.receive(built)
        except ProtocolViolation:
            return


def test_a_conversation_cut_at_every_message_delivers_a_prefix() -> None:
    """However early the path dies, what arrived is a prefix of what was written."""
    one, _, stream = connected()
    written = random.Random(1).randbytes(100_000)
    one.send(stream, written)
    built: list[bytes] = []
    while pending(one):
        built.append(build(one))
    for cut in range(len(built) + 1):
        _, receiver, _ = connected()
        events: list[told.Event] = []
        for part in built[:cut]:
            events.extend(receiver.receive(part))
        assert written.startswith(data_of(events, stream))


class _ManyLinks(_Model):
    """The same over links that come, lead, overtake each other, and die at each end by themselves."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__(rng)
        self.lanes: dict[Role, list[int]] = {Role.CLIENT: [LANE], Role.GATEWAY: [LANE]}
        self.flying: dict[tuple[Role, int], list[bytes]] = defaultdict(list)
        self.unconfirmed: dict[tuple[Role, int], list[list[told.Entry]]] = defaultdict(list)
        self.next_lane = LANE + 1

    def step(self) -> None:
        role = self.rng.choice(list(Role))
        action = self.rng.choice([self.open, self.write, self.write, self.end, self.carry,
                                  self.carry, self.deliver, self.deliver, self.drain, self.kill,
                                  self.add_link, self.lose_link, self.lead_by_another])  # fmt: skip
        action(role)

    def add_link(self, role: Role) -> None:
        if len(self.lanes[role]) < 4:
            for end in Role:
                self.lanes[end].append(self.next_lane)
                self.ends[end].set_lanes(self.lanes[end])
            self.next_lane += 1

    def lose_link(self, role: Role) -> None:
        if self.lanes[role] and self.rng.random() < 0.5:
            self.lose(role, self.rng.choice(self.lanes[role]))

    def lose(self, role: Role, lane: int) -> None:
        """One end drops a link: it hears nothing more of it, and repeats what is not confirmed."""
        self.lanes[role].remove(lane)
        self.ends[role].set_lanes(self.lanes[role])
        self.flying.pop((role.peer, lane), None)
        entries = self.unconfirmed.pop((role, lane), [])
        self.ends[role].lost([entry for sent in entries for entry in sent])

    def lead_by_another(self, role: Role) -> None:
        self.rng.shuffle(self.lanes[role])
        self.ends[role].set_lanes(self.lanes[role])

    def carry(self, role: Role) -> None:
        if self.rng.random() < 0.2:
            self.ends[role].acknowledge()
        for lane in self.lanes[role]:
            built, entries = fill(self.ends[role], lane)
            if built:
                self.flying[role, lane].append(built)
                self.unconfirmed[role, lane].append(entries)

    def deliver(self, role: Role) -> None:
        ready = [lane for lane in self.lanes[role.peer] if self.flying[role, lane]]
        if not ready:
            return
        lane = self.rng.choice(ready)
        self.wire[role].append(self.flying[role, lane].pop(0))
        super().deliver(role)
        # The peer's word of what came may be late.
        if self.rng.random() < 0.7:
            sent = self.unconfirmed.get((role, lane), [])
            del sent[: max(0, len(sent) - len(self.flying[role, lane]))]

    def settle(self) -> None:
        for role in Role:
            for lane in list(self.lanes[role]):
                if lane not in self.lanes[role.peer]:
                    self.lose(role, lane)
        self.add_link(Role.CLIENT)
        super().settle()


@settings(max_examples=80)
@example(seed=0, steps=160)
@given(seed=st.integers(0, 2**32), steps=st.integers(0, 400))
def test_links_that_come_and_die_lose_double_and_reorder_nothing(seed: int, steps: int) -> None:
    """Each byte arrives once and in order, every stream ends, and nothing is left behind."""
    model = _ManyLinks(random.Random(seed))
    for _ in range(steps):
        model.step()
    model.settle()
    for key in model.written.keys() | model.arrived.keys():
        assert model.written[key].startswith(model.arrived[key])
        if key[1] not in model.killed:
            assert model.arrived[key] == model.written[key]
    for end in model.ends.values():
        assert end.held_bytes == 0
        assert end._granted == 0
        assert not end._gaps


def test_a_lost_open_is_sent_again_and_counts_once() -> None:
    """Whether it had arrived or not; nothing of the stream overtakes it on the new link."""
    for arrives in (False, True):
        one, two = client(), gateway()
        stream = one.open(b"db")
        one.send(stream, b"hello")
        built, entries = fill(one)
        seen = two.receive(built) if arrives else []
        one.set_lanes((2,))
        two.set_lanes((2,))
        one.lost(entries)
        built, _ = fill(one, 2)
        assert isinstance(frames.parse(built)[0], frames.Open)
        seen += two.receive(built)
        assert seen[0] == told.StreamRequested(stream, b"db")
        assert data_of(seen, stream) == b"hello"
        assert sum(isinstance(event, told.StreamRequested) for event in seen) == 1


def test_a_reset_that_overtakes_its_open_is_the_end_of_both() -> None:
    """The OPEN that comes later begins nothing; other streams are not touched."""
    two = gateway()
    assert two.receive(message(frames.Reset(3, 1, ""))) == []
    assert two.receive(message(frames.Open(3, b""))) == []
    assert two.receive(message(frames.Open(1, b"x"))) == [told.StreamRequested(1, b"x")]
    assert two.streams_open == 1


def test_an_acknowledged_end_is_told_again_although_the_stream_is_over() -> None:
    """The peer would wait for it for ever; it may also have come the first time."""
    one, two, stream = connected()
    two.eof(stream)
    exchange(one, two)
    one.eof(stream)
    two.receive(build(one))
    built, entries = fill(two)
    assert two.streams_open == 0
    one.set_lanes((4,))
    again = b""
    for lane in (2, 3, 4):
        two.set_lanes((lane,))
        two.lost(entries)
        again, entries = fill(two, lane)
    one.receive(again)
    assert one.streams_open == 0
    assert one.receive(built) == []


def test_credit_is_told_again_when_a_link_is_lost() -> None:
    """A sender that never heard of it would stall."""
    _one, two, stream = connected()
    two.set_lanes((2,))
    two.lost([])
    told_again = [f for f in frames.parse(fill(two, 2)[0]) if isinstance(f, frames.Credit)]
    assert told_again == [frames.Credit(stream, FIRST_WINDOW)]


def test_what_a_gateway_sends_says_that_it_has_accepted() -> None:
    """Its OPENED may come later, by a slower link, and says nothing new then."""
    one = client()
    stream = one.open(b"")
    seen = one.receive(message(frames.Data(stream, 0, b"x")))
    assert seen == [told.StreamAccepted(stream), told.DataReceived(stream, memoryview(b"x"))]
    assert one.receive(message(frames.Opened(stream))) == []


def test_an_end_may_come_before_the_bytes_it_follows() -> None:
    """It is told when its turn has come, once."""
    _one, two, stream = connected()
    assert two.receive(message(frames.Eof(stream, 3))) == []
    assert two.receive(message(frames.Data(stream, 1, b"bc"))) == []
    seen = two.receive(message(frames.Data(stream, 0, b"a")))
    assert data_of(seen, stream) == b"abc"
    assert seen[-1] == told.EofReceived(stream)
    assert two.receive(message(frames.Eof(stream, 3))) == []


def test_nothing_is_sent_on_a_link_that_does_not_carry() -> None:
    """Neither control nor bytes, and nothing at all while there is none."""
    one, _, stream = connected()
    one.send(stream, b"x")
    assert fill(one, 99) == (b"", [])
    one.set_lanes(())
    assert fill(one) == (b"", [])


def test_after_close_nothing_is_sent_again() -> None:
    """The last word stays the last."""
    one, _, stream = connected()
    one.send(stream, b"x")
    _, entries = fill(one)
    one.close(CloseCode.STOPPED)
    one.lost([*entries, b"\x02\x00\x00\x00\x01"])
    assert [type(f) for f in frames.parse(build(one))] == [frames.Close]


def test_what_waits_for_any_link_is_pending() -> None:
    """Control, reports and bytes of streams are; when all is sent nothing is."""
    one, two, stream = connected()
    assert not one.has_pending()
    one.send(stream, b"x")
    assert one.has_pending()
    exchange(one, two)
    assert not one.has_pending()
    one.close(CloseCode.STOPPED)
    assert one.has_pending()
