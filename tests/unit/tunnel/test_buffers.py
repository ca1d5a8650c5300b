from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commander.tunnel.buffers import (
    FIRST_WINDOW,
    INITIAL_CREDIT,
    MAX_WINDOW,
    ReceiveWindow,
    SendBuffer,
)
from commander.tunnel.codes import ProtocolViolation

PLENTY = 64 * 1024 * 1024


def taken(buffer: SendBuffer, limit: int = 1 << 20) -> bytes:
    out = b""
    while buffer.sendable:
        out += bytes(buffer.take(limit))
    return out


@given(
    st.lists(st.binary(min_size=1, max_size=9000), max_size=12),
    st.integers(1, 20_000),
    st.integers(0, 100_000),
)
def test_bytes_leave_in_order_and_can_be_replayed(
    chunks: list[bytes], limit: int, acknowledged: int
) -> None:
    """However they were written and taken, from any acknowledged offset on."""
    buffer, written = SendBuffer(), b"".join(chunks)
    buffer.credit = len(written)
    for chunk in chunks:
        buffer.append(chunk)
    out = b""
    while buffer.sendable:
        piece = buffer.take(limit)
        assert 0 < len(piece) <= limit
        out += bytes(piece)
    assert out == written
    offset = min(acknowledged, len(written))
    if offset:
        buffer.acknowledge(offset)
    assert b"".join(buffer.replay(offset)) == written[offset:]
    assert buffer.held == len(written) - offset


def test_what_was_taken_does_not_change_when_more_is_written() -> None:
    """A piece in flight is not the place where the next small write goes."""
    buffer = SendBuffer()
    for _ in range(2000):
        buffer.append(b"abc")
    piece = buffer.take(10_000)
    before = bytes(piece)
    buffer.append(b"def")
    buffer.take(10_000)
    assert bytes(piece) == before


def test_large_chunks_are_cut_without_copies_and_replayed_from_inside() -> None:
    """A piece of a chunk is a view, and an acknowledgement may fall between pieces."""
    buffer = SendBuffer()
    buffer.append(bytes(range(250)) * 100)
    first = buffer.take(20_000)
    assert isinstance(first, memoryview)
    buffer.take(20_000)
    buffer.acknowledge(100)
    assert b"".join(buffer.replay(20_001)) == (bytes(range(250)) * 100)[20_001:]
    assert len(b"".join(buffer.replay(100))) == 24_900
    buffer.acknowledge(20_000)
    assert len(b"".join(buffer.replay(20_000))) == 5_000


def test_a_large_chunk_that_fits_is_passed_on_as_it_is() -> None:
    """No copy for what fills a frame."""
    buffer, chunk = SendBuffer(), bytes(20_000)
    buffer.append(chunk)
    buffer.append(b"more")
    assert buffer.take(60_000) is chunk


def test_small_chunks_share_a_frame() -> None:
    """They are joined up to the limit; a chunk that does not fit stays whole for the next."""
    buffer = SendBuffer()
    for _ in range(3):
        buffer.append(b"a" * 5000)
    assert len(buffer.take(12_000)) == 10_000
    assert len(buffer.take(12_000)) == 5_000


def test_nothing_leaves_beyond_the_credit() -> None:
    """32 KiB at first, then what the peer grants."""
    buffer = SendBuffer()
    buffer.append(bytes(INITIAL_CREDIT + 10))
    assert len(taken(buffer)) == INITIAL_CREDIT
    assert (buffer.unsent, buffer.sendable) == (10, 0)
    buffer.raise_credit(INITIAL_CREDIT + 4)
    assert len(taken(buffer)) == 4


@pytest.mark.parametrize("credit", [0, INITIAL_CREDIT, MAX_WINDOW + 1])
def test_a_credit_that_makes_no_sense_is_a_violation(credit: int) -> None:
    """It rises, and by no more than the largest window."""
    with pytest.raises(ProtocolViolation):
        SendBuffer().raise_credit(credit)
    SendBuffer().raise_credit(MAX_WINDOW)


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


@pytest.mark.parametrize("received", [0, 4])
def test_an_acknowledgement_of_nothing_or_too_much_is_a_violation(received: int) -> None:
    """It rises, and stays within what was sent."""
    buffer = SendBuffer()
    buffer.append(b"abc")
    taken(buffer)
    with pytest.raises(ProtocolViolation):
        buffer.acknowledge(received)


def test_received_bytes_must_follow_each_other_within_the_credit() -> None:
    """Gaps, overlaps, excess and bytes after the end are violations."""
    window = ReceiveWindow()
    window.receive(0, 10)
    for offset, size in ((9, 1), (11, 1), (10, INITIAL_CREDIT)):
        with pytest.raises(ProtocolViolation):
            window.receive(offset, size)
    with pytest.raises(ProtocolViolation):
        window.receive_eof(9)
    window.receive_eof(10)
    with pytest.raises(ProtocolViolation):
        window.receive(10, 1)
    with pytest.raises(ProtocolViolation):
        window.receive_eof(10)
    assert window.position == 11


def test_acknowledgements_are_due_by_steps_and_at_the_end() -> None:
    """Not for every byte; always for the end."""
    window = ReceiveWindow()
    window.granted = FIRST_WINDOW
    due = []
    window.receive(0, 100)
    due.append(window.is_ack_due())
    window.receive(100, FIRST_WINDOW // 4)
    due.append(window.is_ack_due())
    window.acked = window.position
    due.append(window.is_ack_due())
    window.receive_eof(window.received)
    due.append(window.is_ack_due())
    assert due == [False, True, False, True]

    crowded = ReceiveWindow()
    crowded.receive(0, 16 * 1024)
    assert crowded.is_ack_due(16 * 1024)
    assert not crowded.is_ack_due()


def test_credit_follows_the_socket_in_steps() -> None:
    """Nothing for small change, a quarter of the window at least, nothing after the end."""
    window = ReceiveWindow()
    assert window.next_grant(PLENTY) == FIRST_WINDOW
    window.granted = FIRST_WINDOW
    window.receive(0, FIRST_WINDOW)
    assert window.next_grant(PLENTY) == 0
    window.drained = 1000
    assert window.next_grant(PLENTY) == 0
    window.drained = FIRST_WINDOW
    assert window.next_grant(PLENTY) == 2 * FIRST_WINDOW
    window.receive_eof(FIRST_WINDOW)
    assert window.next_grant(PLENTY) == 0


def test_without_budget_a_stream_still_crawls() -> None:
    """The reserved 32 KiB keep every stream alive when the tunnel's budget is spent."""
    window = ReceiveWindow()
    assert window.next_grant(0) == 0
    window.receive(0, INITIAL_CREDIT)
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
