from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commander.tunnel.buffers import (
    FIRST_WINDOW,
    INITIAL_CREDIT,
    MAX_HELD,
    MAX_WINDOW,
    Piece,
    ReceiveWindow,
    SendBuffer,
)
from commander.tunnel.codes import ProtocolViolation

PLENTY = 64 * 1024 * 1024


def pieces_of(buffer: SendBuffer, limit: int) -> list[Piece]:
    pieces = []
    while buffer.sendable:
        pieces.append(buffer.take(limit))
    return pieces


def taken(buffer: SendBuffer, limit: int = 1 << 20) -> bytes:
    out = b""
    while buffer.sendable:
        out += bytes(buffer.take(limit).data)
    return out


@given(
    st.lists(st.binary(min_size=1, max_size=9000), max_size=12),
    st.integers(1, 20_000),
    st.integers(0, 100_000),
    st.randoms(use_true_random=False),
)
def test_bytes_leave_in_order_and_lost_ones_leave_again(
    chunks: list[bytes], limit: int, acknowledged: int, rng: random.Random
) -> None:
    """However they were written, taken, acknowledged and lost: what arrives is what was written."""
    buffer, written = SendBuffer(), b"".join(chunks)
    buffer.credit = len(written)
    for chunk in chunks:
        buffer.append(chunk)
    pieces = pieces_of(buffer, limit)
    assert all(0 < len(piece.data) <= limit for piece in pieces)
    assert b"".join(bytes(piece.data) for piece in pieces) == written
    acknowledged = min(acknowledged, len(written))
    buffer.acknowledge(acknowledged)
    assert buffer.held == len(written) - acknowledged

    arrived = bytearray(written[:acknowledged]) + bytes(len(written) - acknowledged)
    for piece in pieces:
        if rng.random() < 0.5:
            buffer.lose(piece.offset, len(piece.data))
        else:
            arrived[piece.offset : piece.offset + len(piece.data)] = piece.data
    for piece in pieces_of(buffer, rng.randint(1, limit)):
        assert piece.offset >= acknowledged
        arrived[piece.offset : piece.offset + len(piece.data)] = piece.data
    assert arrived == written


def test_what_was_taken_does_not_change_when_more_is_written() -> None:
    """A piece in flight is not the place where the next small write goes."""
    buffer = SendBuffer()
    for _ in range(2000):
        buffer.append(b"abc")
    piece = buffer.take(10_000).data
    before = bytes(piece)
    buffer.append(b"def")
    buffer.take(10_000)
    assert bytes(piece) == before


def test_large_chunks_are_cut_without_copies() -> None:
    """A piece of a chunk is a view of it, also when it leaves again."""
    buffer = SendBuffer()
    buffer.append(bytes(range(250)) * 100)
    assert isinstance(buffer.take(20_000).data, memoryview)
    buffer.take(20_000)
    buffer.acknowledge(100)
    buffer.lose(0, 25_000)
    first = buffer.take(1 << 20)
    assert isinstance(first.data, memoryview)
    assert (first.offset, bytes(first.data)) == (100, (bytes(range(250)) * 100)[100:20_000])
    assert buffer.take(1 << 20).offset == 20_000
    assert buffer.sendable == 0


def test_losses_that_touch_are_one_and_acknowledged_ones_are_forgotten() -> None:
    """Nothing is sent a third time, and nothing that has arrived meanwhile."""
    buffer = SendBuffer()
    buffer.append(bytes(20_000))
    taken(buffer)
    for offset in (8_000, 4_000, 6_000):
        buffer.lose(offset, 2_000)
    buffer.lose(4_500, 100)
    assert buffer.sendable == 6_000
    buffer.acknowledge(5_000)
    assert buffer.sendable == 5_000
    buffer.acknowledge(20_000)
    buffer.lose(19_000, 1_000)
    assert buffer.sendable == 0


def test_lost_bytes_go_before_new_ones() -> None:
    """The peer waits for them."""
    buffer = SendBuffer()
    buffer.append(b"a" * 5000)
    taken(buffer)
    buffer.append(b"b" * 5000)
    buffer.lose(0, 5000)
    assert [buffer.take(5000).offset for _ in range(2)] == [0, 5000]


def test_a_lost_end_is_due_again_until_it_is_acknowledged() -> None:
    """The end of a stream is lost like any byte."""
    buffer = SendBuffer()
    buffer.append(b"abc")
    buffer.lose(3, 0)
    buffer.eof = True
    taken(buffer)
    due = [buffer.is_eof_due]
    buffer.take_eof()
    due.append(buffer.is_eof_due)
    buffer.lose(3, 0)
    due.append(buffer.is_eof_due)
    buffer.acknowledge(4)
    due.append(buffer.is_eof_due)
    buffer.lose(3, 0)
    due.append(buffer.is_eof_due)
    assert due == [True, False, True, False, False]


def test_a_large_chunk_that_fits_is_passed_on_as_it_is() -> None:
    """No copy for what fills a frame."""
    buffer, chunk = SendBuffer(), bytes(20_000)
    buffer.append(chunk)
    buffer.append(b"more")
    assert buffer.take(60_000).data is chunk


def test_small_chunks_share_a_frame() -> None:
    """They are joined up to the limit; a chunk that does not fit stays whole for the next."""
    buffer = SendBuffer()
    for _ in range(3):
        buffer.append(b"a" * 5000)
    assert len(buffer.take(12_000).data) == 10_000
    assert len(buffer.take(12_000).data) == 5_000


def test_nothing_leaves_beyond_the_credit() -> None:
    """32 KiB at first, then what the peer grants."""
    buffer = SendBuffer()
    buffer.append(bytes(INITIAL_CREDIT + 10))
    assert len(taken(buffer)) == INITIAL_CREDIT
    assert (buffer.unsent, buffer.sendable) == (10, 0)
    buffer.raise_credit(INITIAL_CREDIT + 4)
    assert len(taken(buffer)) == 4


def test_credit_rises_by_no_more_than_the_largest_window() -> None:
    """An older word of a slower link changes nothing."""
    buffer = SendBuffer()
    with pytest.raises(ProtocolViolation):
        buffer.raise_credit(MAX_WINDOW + 1)
    buffer.raise_credit(MAX_WINDOW)
    buffer.raise_credit(INITIAL_CREDIT)
    assert buffer.credit == MAX_WINDOW


def test_the_end_counts_as_one_more_byte() -> None:
    """Only its acknowledgement completes a direction."""
    buffer = SendBuffer()
    buffer.append(b"abc")
    buffer.eof = True
    taken(buffer)
    due = [buffer.is_eof_due]
    assert buffer.take_eof() == 3
    due.append(buffer.is_eof_due)
    assert due == [True, False]
    assert (buffer.unsent, buffer.sendable) == (0, 0)
    buffer.acknowledge(3)
    complete = [buffer.is_complete]
    buffer.acknowledge(4)
    complete.append(buffer.is_complete)
    assert complete == [False, True]
    assert buffer.held == 0


def test_an_acknowledgement_of_more_than_was_sent_is_a_violation() -> None:
    """An older one is not."""
    buffer = SendBuffer()
    buffer.append(b"abc")
    taken(buffer)
    with pytest.raises(ProtocolViolation):
        buffer.acknowledge(4)
    buffer.acknowledge(3)
    buffer.acknowledge(2)
    assert buffer.acked == 3


@given(st.binary(min_size=1, max_size=300), st.randoms(use_true_random=False))
def test_bytes_in_any_order_are_given_out_once_and_in_order(
    written: bytes, rng: random.Random
) -> None:
    """Overlapping, repeated and early pieces, and an end that comes at any time."""
    window, out = ReceiveWindow(), bytearray()
    pieces = [(start, start + rng.randint(1, 20)) for start in range(0, len(written), 5)]
    pieces = [*pieces, *rng.sample(pieces, len(pieces) // 2)]
    rng.shuffle(pieces)
    end_after = rng.randrange(len(pieces))
    for number, (start, stop) in enumerate(pieces):
        for data in window.receive(start, written[start:stop]):
            out += data
        if number == end_after:
            window.receive_eof(len(written))
        assert written.startswith(out)
    for data in window.receive(0, written):
        out += data
    assert out == written
    assert window.eof
    assert window.position == len(written) + 1


def test_bytes_must_keep_to_the_credit_and_the_end() -> None:
    """Also those that come before their turn; a stream has one end."""
    window = ReceiveWindow()
    window.receive(0, b"x" * 10)
    for offset, size in ((10, INITIAL_CREDIT), (INITIAL_CREDIT, 1)):
        with pytest.raises(ProtocolViolation):
            window.receive(offset, b"x" * size)
    window.receive(12, b"x" * 3)
    for offset in (9, 14):
        with pytest.raises(ProtocolViolation):
            window.receive_eof(offset)
    window.receive_eof(15)
    window.receive_eof(15)
    over = [window.eof]
    with pytest.raises(ProtocolViolation):
        window.receive_eof(16)
    with pytest.raises(ProtocolViolation):
        window.receive(15, b"x")
    assert [len(data) for data in window.receive(10, b"x" * 2)] == [2, 3]
    over.append(window.eof)
    assert over == [False, True]


def test_pieces_before_their_turn_are_bounded_and_do_not_keep_messages() -> None:
    """A small view is copied; a large one is kept as it is."""
    window = ReceiveWindow()
    window.granted = MAX_WINDOW
    message = bytes(40_000)
    window.receive(100_000, memoryview(message)[:100])
    window.receive(200_000, memoryview(message))
    assert isinstance(window._held[0][2], bytes)
    assert isinstance(window._held[1][2], memoryview)
    for offset in range(1, MAX_HELD - 1):
        window.receive(2 * offset, b"x")
    with pytest.raises(ProtocolViolation):
        window.receive(50_000, b"x")


def test_acknowledgements_are_due_by_steps() -> None:
    """Not for every byte."""
    window = ReceiveWindow()
    window.granted = FIRST_WINDOW
    due = []
    window.receive(0, bytes(100))
    due.append(window.is_ack_due())
    window.receive(100, bytes(FIRST_WINDOW // 4))
    due.append(window.is_ack_due())
    window.acked = window.position
    due.append(window.is_ack_due())
    assert due == [False, True, False]

    crowded = ReceiveWindow()
    crowded.receive(0, bytes(16 * 1024))
    assert crowded.is_ack_due(16 * 1024)
    assert not crowded.is_ack_due()


def test_credit_follows_the_socket_in_steps() -> None:
    """Nothing for small change, a quarter of the window at least, nothing after the end."""
    window = ReceiveWindow()
    assert window.next_grant(PLENTY) == FIRST_WINDOW
    window.granted = FIRST_WINDOW
    window.receive(0, bytes(FIRST_WINDOW))
    assert window.next_grant(PLENTY) == 0
    window.drained = 1000
    due = [window.is_grant_due]
    assert window.next_grant(PLENTY) == 0
    window.drained = FIRST_WINDOW
    due.append(window.is_grant_due)
    assert due == [False, True]
    assert window.next_grant(PLENTY) == 2 * FIRST_WINDOW
    window.receive_eof(FIRST_WINDOW)
    assert window.next_grant(PLENTY) == 0


def test_without_budget_a_stream_still_crawls() -> None:
    """The reserved 32 KiB keep every stream alive when the tunnel's budget is spent."""
    window = ReceiveWindow()
    assert window.next_grant(0) == 0
    window.receive(0, bytes(INITIAL_CREDIT))
    window.drained = INITIAL_CREDIT
    assert window.next_grant(0) == 2 * INITIAL_CREDIT


def test_the_window_grows_only_for_a_socket_that_keeps_pace_and_within_the_budget() -> None:
    """Four windows drained double it, up to 4 MiB."""

    def moved(backlog: int, spare: int) -> int:
        window = ReceiveWindow()
        window.drained = 4 * FIRST_WINDOW
        window.received = window.drained + backlog
        window.granted = window.received
        window.next_grant(spare)
        return window.window

    assert moved(0, PLENTY) == 2 * FIRST_WINDOW
    assert moved(FIRST_WINDOW // 2, PLENTY) == FIRST_WINDOW
    assert moved(0, 2 * FIRST_WINDOW - 1) == FIRST_WINDOW

    window = ReceiveWindow()
    for _ in range(100):
        window.drained = window.received = window.granted = window.granted + MAX_WINDOW
        window.next_grant(PLENTY)
    assert window.window == MAX_WINDOW
