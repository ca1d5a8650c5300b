from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commander.authority.refusals import Code
from commander.backend.limits import (
    LoginDelays,
    Once,
    Rate,
    RateLimiter,
    body_deadline_s,
    body_limit,
    delay_after,
    source_of,
)
from commander.errors import Refused
from commander.wire import calls
from commander.wire.requests import REQUEST_LIMIT


def test_delay_doubles_from_the_fifth_failure_to_a_minute() -> None:
    """1, 2, 4 ... 60 s, and never more, however long somebody tries."""
    assert [delay_after(n) for n in range(5)] == [0] * 5
    assert [delay_after(n) for n in range(5, 13)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert delay_after(10**9) == 60


def test_failures_make_the_next_attempt_wait_and_success_begins_anew() -> None:
    """The wait runs from the last failure and is per key."""
    delays = LoginDelays()
    for _ in range(6):
        delays.failed("bob", 100.0)

    assert delays.wait_s("bob", 100.5) == 1.5
    assert delays.wait_s("bob", 102.0) == 0
    assert delays.wait_s("ann", 100.5) == 0
    delays.succeeded("bob")
    assert delays.wait_s("bob", 100.5) == 0


def test_memory_of_failures_is_bounded_and_keeps_the_newest() -> None:
    """Who fails under a million names does not grow the server."""
    delays = LoginDelays(most=10)
    for number in range(1000):
        for _ in range(6):
            delays.failed(str(number), 0.0)

    assert delays.wait_s("999", 0.0) > 0
    assert delays.wait_s("5", 0.0) == 0
    assert len(delays._failures) == 10


@given(st.lists(st.floats(0, 10), max_size=200))
def test_rate_limiter_never_allows_more_than_burst_and_rate(gaps: list[float]) -> None:
    """Over any time at most `burst + rate * time` pass."""
    limiter, now, passed = RateLimiter(Rate(2.0, 5)), 0.0, 0
    for gap in gaps:
        now += gap
        passed += limiter.wait_s("x", now) == 0.0

    assert passed <= 5 + 2.0 * now + 1e-6


def test_rate_limiter_says_how_long_to_wait_and_refuses_with_its_code() -> None:
    """After that time the next one passes; others are not concerned."""
    limiter = RateLimiter(Rate(0.5, 2))
    assert [limiter.wait_s("x", 0.0) for _ in range(3)] == [0, 0, 2.0]

    with pytest.raises(Refused) as refused:
        limiter.check("x", 1.0)

    assert refused.value.code == Code.TOO_MANY_REQUESTS
    limiter.check("x", 2.1)
    limiter.check("y", 1.0)


def test_rate_limiter_forgets_the_quietest_when_full() -> None:
    """Its memory is bounded."""
    limiter = RateLimiter(Rate(1.0, 1), most=3)
    for key in "abcd":
        limiter.check(key, 0.0)

    limiter.check("a", 0.0)
    with pytest.raises(Refused):
        limiter.check("d", 0.0)


def test_once_refuses_the_second_use_until_it_expires() -> None:
    """What was used is known until its time, and forgotten after it."""
    once = Once()

    assert once.use(b"n", now=0, until=10)
    assert not once.use(b"n", now=9, until=19)
    assert once.use(b"n", now=10, until=20)


def test_full_memory_of_used_things_refuses_new_ones_and_never_forgets_early() -> None:
    """Forgetting would open the door for replays; refusing does not."""
    once = Once(most=2)
    assert once.use(b"a", now=0, until=10)
    assert once.use(b"b", now=0, until=10)

    with pytest.raises(Refused) as refused:
        once.use(b"c", now=0, until=10)

    assert refused.value.code == Code.TOO_MANY_REQUESTS
    assert not once.use(b"a", now=5, until=15)
    assert once.use(b"c", now=11, until=21)


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("nonsense", "unknown"),
    ],
)
def test_source_is_an_ipv4_address_or_an_ipv6_network(address: str, source: str) -> None:
    """One machine has as many IPv6 addresses as it likes."""
    assert source_of(address) == source


def test_bodies_have_limits_by_call_and_a_pace() -> None:
    """Only a few calls take much, and a slow body ends."""
    assert body_limit(calls.COMMIT.path) == REQUEST_LIMIT
    assert body_limit(calls.LOG.path) == 64 * 1024
    assert body_deadline_s(0) == 15
    assert body_deadline_s(REQUEST_LIMIT) < 2100
