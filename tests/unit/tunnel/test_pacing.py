from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commander.tunnel.pacing import (
    CAP_BYTES,
    CHANNEL_PACE,
    STREAM_PACE,
    DeliveryWindow,
    Pace,
)

MESSAGE = 64 * 1024
FLOOR_BYTES = STREAM_PACE.floor_for(0)


def carry(
    window: DeliveryWindow, *, rate: float, rtt_s: float, seconds: float, start: float = 0.0
) -> list[int]:
    """Send as much as the window allows over a bottleneck; returns what was in flight, over time."""
    window.progress(window._sent, start)
    now = free_at = start
    arrivals: deque[tuple[float, int, int]] = deque()
    sent = reported = window._sent
    seen: list[int] = []
    while now < start + seconds:
        while window.is_open:
            size = window.message_bytes
            window.sent(size, now)
            sent += size
            free_at = max(free_at, now) + size / rate
            arrivals.append((free_at + rtt_s, sent, size))
        seen.append(window.in_flight)
        now, received, size = arrivals.popleft()
        if received - reported >= window.pace.step_after(size):
            reported = received
            assert window.progress(received, now)
    return seen


def test_the_window_settles_near_bandwidth_times_round_trip() -> None:
    """20 MB/s at 100 ms: two megabytes, not the sixteen that would fill queues."""
    window = DeliveryWindow()
    seen = carry(window, rate=20e6, rtt_s=0.1, seconds=5.0)
    product = 20e6 * 0.1
    assert product < window.limit < 2 * product
    assert max(seen[len(seen) // 2 :]) < 2 * product


def test_a_fast_long_path_is_filled_up_to_the_cap() -> None:
    """The search finds a bandwidth far above the first window, and stops at 16 MiB."""
    window = DeliveryWindow()
    carry(window, rate=500e6, rtt_s=0.1, seconds=5.0)
    assert window.limit == CAP_BYTES


def test_what_waits_on_a_slow_long_path_is_a_part_of_a_second() -> None:
    """300 kB/s at 40 ms, as a connection that loses a packet in a hundred."""
    window = DeliveryWindow()
    carry(window, rate=300e3, rtt_s=0.04, seconds=100.0)
    assert FLOOR_BYTES <= window.limit <= 0.3 * 300e3


@pytest.mark.parametrize(
    ("rate", "rtt_s"), [(300e3, 0.04), (2e6, 0.04), (20e6, 0.1), (600e6, 0.0002)]
)
def test_the_queue_of_a_long_transfer_does_not_grow(rate: float, rtt_s: float) -> None:
    """The least round trip is asked for without our own queue, or each answer would allow a longer one."""
    window = DeliveryWindow()
    seen = carry(window, rate=rate, rtt_s=rtt_s, seconds=100.0 if rate < 1e8 else 25.0)
    tenth = len(seen) // 10
    assert max(seen[-tenth:]) <= 1.6 * max(seen[tenth : 2 * tenth])


def test_asking_for_the_round_trip_costs_little() -> None:
    """A long transfer still has nearly all of the path."""
    window = DeliveryWindow()
    carry(window, rate=20e6, rtt_s=0.1, seconds=100.0)
    assert window._received > 0.96 * 20e6 * 100


def test_a_fast_short_path_keeps_the_floor() -> None:
    """Below it reports would be too coarse, and their delay would be what limits."""
    window = DeliveryWindow()
    carry(window, rate=200e6, rtt_s=0.0001, seconds=2.0)
    assert window.limit >= STREAM_PACE.floor


@given(
    st.sampled_from([STREAM_PACE, CHANNEL_PACE]),
    st.lists(st.integers(50, 256 * 1024), min_size=1, max_size=60),
    st.integers(1_000, 10**9),
)
def test_a_full_window_is_always_reported(pace: Pace, sizes: list[int], rate: int) -> None:
    """Whatever sizes follow each other: what the receiver leaves unreported does not stop the sender."""
    window, sent, reported, now = DeliveryWindow(pace), 0, 0, 0.0
    for size in sizes:
        assert window.is_open
        sent += size
        window.sent(size, now)
        now += size / rate
        if sent - reported >= pace.step_after(size):
            reported = sent
            assert window.progress(reported, now)


@pytest.mark.parametrize("pace", [STREAM_PACE, CHANNEL_PACE])
def test_what_waits_on_a_slow_path_is_small(pace: Pace) -> None:
    """A data channel at 5 MB/s without a round trip to speak of holds no more than 40 ms of bulk."""
    window = DeliveryWindow(pace)
    carry(window, rate=5e6, rtt_s=0.001, seconds=10.0)
    assert window.limit <= pace.floor + 3 * pace.step
    assert pace is STREAM_PACE or window.limit < 0.04 * 5e6


def test_a_data_channel_still_finds_the_bandwidth_of_a_long_path() -> None:
    """Its small first window grows to what 20 MB/s at 100 ms need."""
    window = DeliveryWindow(CHANNEL_PACE)
    carry(window, rate=20e6, rtt_s=0.1, seconds=8.0)
    assert window.limit > 20e6 * 0.1


def test_a_longer_round_trip_is_believed_after_a_while() -> None:
    """When the route changes, the old least round trip is forgotten after ten seconds."""
    window = DeliveryWindow()
    carry(window, rate=20e6, rtt_s=0.01, seconds=5.0)
    before = window.limit
    carry(window, rate=20e6, rtt_s=0.2, seconds=30.0, start=10.0)
    assert window.limit > before


def test_a_quiet_sender_does_not_shrink_the_window() -> None:
    """Rounds with little to send say nothing about the path."""
    window = DeliveryWindow()
    carry(window, rate=20e6, rtt_s=0.1, seconds=5.0)
    before = window.limit
    window.progress(window._sent, 5.5)
    for second in range(10, 20):
        window.sent(100, float(second))
        window.progress(window._sent, second + 0.1)
    assert window.limit == before


def test_it_opens_at_one_mebibyte_and_closes_when_full() -> None:
    """Before any report."""
    window = DeliveryWindow()
    while window.is_open:
        window.sent(MESSAGE, 0.0)
    assert window.in_flight == STREAM_PACE.start


@given(st.lists(st.tuples(st.integers(0, 5000), st.integers(-10, 6000)), max_size=30))
def test_only_possible_reports_are_accepted(steps: list[tuple[int, int]]) -> None:
    """A report rises and never passes what was sent; the window stays within its bounds."""
    window, sent, received, now = DeliveryWindow(), 0, 0, 0.0
    for size, report in steps:
        now += 0.01
        window.sent(size, now)
        sent += size
        is_possible = received < report <= sent
        assert window.progress(report, now) == is_possible
        received = report if is_possible else received
        assert window.in_flight == sent - received
        assert FLOOR_BYTES <= window.limit <= CAP_BYTES


def test_a_report_between_two_rounds_is_only_counted() -> None:
    """Progress after the sender went quiet starts no round."""
    window = DeliveryWindow()
    window.sent(1000, 1.0)
    assert window.progress(500, 2.0)
    assert window.progress(1000, 3.0)
    assert window.in_flight == 0


def test_messages_are_as_large_as_the_path_is_fast() -> None:
    """A millisecond's worth: small ones on a slow path, before which a keystroke does not wait long."""
    slow, fast, new = DeliveryWindow(), DeliveryWindow(), DeliveryWindow()
    carry(slow, rate=2e6, rtt_s=0.04, seconds=5.0)
    carry(fast, rate=200e6, rtt_s=0.001, seconds=5.0)

    assert slow.message_bytes == STREAM_PACE.least_message < new.message_bytes
    assert fast.message_bytes > 128 * 1024
