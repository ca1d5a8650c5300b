"""
Whether the carriers of a long path lose so much that more of them would carry more. Pure.

A TCP connection that loses a packet in a hundred at 40 ms carries 400 KiB/s, however fast the link
is, where congestion control takes every loss for a full queue (cubic does, BBR does not). The kernel's
counts tell such a link from one that is merely full: there a queue has grown, and round trips with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

LONG_S: Final = 0.015
"""On a shorter path a loss is repaired before it costs much."""
_SENT_LOST: Final = 0.002
_RECEIVED_LATE: Final = 0.01
"""A lost packet makes all that are under way behind it come before their turn."""
_SEGMENTS: Final = 200
"""Fewer say nothing."""
_QUEUED: Final = 1.5
_QUEUED_S: Final = 0.005
_FULL_BYTES: Final = 64 * 1024
"""A carrier that holds so much in flight is not held back by what it loses."""
_SEGMENT_BYTES: Final = 1400
_PAYS: Final = 1.25


@dataclass(frozen=True)
class TcpCounts:
    """Segments with data since a connection began, and its round trips."""

    sent: int
    repeated: int
    received: int
    out_of_order: int
    rtt_s: float
    least_rtt_s: float


def has_lost(counts: TcpCounts) -> bool:
    """Whether a connection is long and has lost anything at all."""
    return counts.least_rtt_s >= LONG_S and counts.repeated + counts.out_of_order > 0


def is_narrow(before: TcpCounts, now: TcpCounts, span_s: float) -> bool:
    """Whether one carrier was held back by losses, not by the link, over a span of time."""
    sent, received = now.sent - before.sent, now.received - before.received
    if max(sent, received) < _SEGMENTS or now.least_rtt_s < LONG_S:
        return False
    if now.rtt_s > _QUEUED * now.least_rtt_s + _QUEUED_S:
        return False
    if max(sent, received) * _SEGMENT_BYTES * now.least_rtt_s / span_s > _FULL_BYTES:
        return False
    lost = now.repeated - before.repeated > _SENT_LOST * sent and sent >= _SEGMENTS
    late = now.out_of_order - before.out_of_order > _RECEIVED_LATE * received
    return lost or (late and received >= _SEGMENTS)


class Narrowness:
    """
    Looks at the carriers of a group now and then, and says when more of them would pay.

    Once more after each widening only if that one paid: on a link that is full after all, more
    connections would only take from others.
    """

    def __init__(self) -> None:
        self._seen: dict[int, TcpCounts] = {}
        self._seen_at = 0.0
        self._told_count = 0
        self._told_rate = 0.0

    def forget(self) -> None:
        """Begin anew with the next look: too little moved since the last to judge by."""
        self._seen = {}

    def look(self, counts: Mapping[int, TcpCounts], now: float) -> bool:
        """Whether to ask for more carriers now; `counts` by generation, of all that carry."""
        before, span_s = self._seen, now - self._seen_at
        self._seen, self._seen_at = dict(counts), now
        both = [(before[number], found) for number, found in counts.items() if number in before]
        if not both or span_s <= 0:
            return False
        narrow = [one for one in both if is_narrow(*one, span_s)]
        # Of several the leading one carries no bulk, and one may have had none of it.
        if 2 * len(narrow) < len(both):
            return False
        rate = sum(
            max(late.sent - early.sent, late.received - early.received) for early, late in both
        )
        return self._pays(len(counts), rate / span_s)

    def _pays(self, count: int, rate: float) -> bool:
        if count <= self._told_count:
            # What was asked for has not come yet, or some of it died: it is asked for once.
            return False
        if self._told_count and rate < _PAYS * self._told_rate:
            return False
        self._told_count, self._told_rate = count, rate
        return True
