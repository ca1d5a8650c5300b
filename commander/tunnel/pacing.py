from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

CAP_BYTES: Final = 16 * 1024 * 1024


@dataclass(frozen=True)
class Pace:
    """
    The steps in which one kind of carrier is measured.

    The receiver reports its progress whenever two messages more have come, which are as large as
    the carrier is fast, but at most `step`; the window is never below four messages, up to
    `floor`, and `start` before anything was measured.
    """

    step: int = 128 * 1024
    floor: int = 256 * 1024
    start: int = 1024 * 1024
    least_message: int = 8 * 1024

    def step_after(self, message: int) -> int:
        """What the receiver lets come unreported, when the last message was so large."""
        return min(self.step, max(2 * message, 2 * self.least_message))

    def floor_for(self, message: int) -> int:
        """
        The least window of a sender of such messages: never filled by what goes unreported.

        On a carrier with 300 KiB/s, as one that loses a packet in a hundred, 256 KiB would be most
        of a second that all else of a striped download waits for.
        """
        return min(self.floor, max(4 * message, 4 * self.least_message))


STREAM_PACE: Final = Pace()
"""TCP: hundreds of MiB/s, so that less would cost speed."""
CHANNEL_PACE: Final = Pace(
    step=32 * 1024, floor=64 * 1024, start=192 * 1024, least_message=16 * 1024
)
"""Data channels: tens of MiB/s at most, where 256 KiB are 13 ms that everyone waits for."""
_GAIN: Final = 1.25
_START_GAIN: Final = 2.5
_ASKING_GAIN: Final = 0.75
_MARK_BYTES: Final = 16 * 1024
_FIRST_MESSAGE_BYTES: Final = 64 * 1024
_MESSAGE_S: Final = 0.001
_RTT_LIFE_S: Final = 10.0
_ROUNDS: Final = 10
_FLAT_ROUNDS: Final = 3
_LEAST_ROUND_S: Final = 0.002


class DeliveryWindow:
    """
    How much may be in flight on one path: about 1.25 times bandwidth times least round trip. Pure.

    More than that only fills queues on the way: the backlog of bulk is what an interactive
    stream waits for. Bandwidth and round trip come from the peer's progress reports; while
    the bandwidth still grows the window is kept twice as large, so that it can be found.
    """

    def __init__(self, pace: Pace = STREAM_PACE) -> None:
        self.pace = pace
        self.limit = pace.start
        self.message_bytes = _FIRST_MESSAGE_BYTES
        """
        The largest message worth sending: what passes in a millisecond, and 8 KiB at least
        (data channels: 16).

        A keystroke waits for the message before it, and large messages cost the least: a fast
        path gets large ones, a slow one small ones.
        """
        self._sent = 0
        self._received = 0
        self._unreported = 0
        self._marks: deque[tuple[int, float]] = deque()
        self._least_rtt_s = 0.0
        self._least_rtt_at = 0.0
        self._asks_since: float | None = None
        self._rates: deque[float] = deque(maxlen=_ROUNDS)
        self._round_received = 0
        self._round_at: float | None = None
        self._was_full = False
        self._best_rate = 0.0
        self._flat_rounds = 0

    @property
    def in_flight(self) -> int:
        """Bytes sent and not reported as received."""
        return self._sent - self._received

    @property
    def is_open(self) -> bool:
        """Whether more may be sent now."""
        limit = self.limit if self._asks_since is None else self._asking_limit()
        # Large messages of a better time may still go unreported.
        return self._sent - self._received < max(limit, self._unreported)

    def sent(self, size: int, now: float) -> None:
        """Count a message handed to the path."""
        if self._round_at is None:
            self._round_at, self._round_received = now, self._received
        self._sent += size
        self._unreported = self.pace.step_after(size)
        if not self._marks or self._sent - self._marks[-1][0] >= _MARK_BYTES:
            self._marks.append((self._sent, now))
        self._was_full = self._was_full or not self.is_open

    def progress(self, received: int, now: float) -> bool:
        """Take a report of the peer; False for one that cannot be true."""
        if not self._received < received <= self._sent:
            return False
        self._received = received
        sent_at: float | None = None
        while self._marks and self._marks[0][0] <= received:
            sent_at = self._marks.popleft()[1]
        if sent_at is not None:
            self._note_rtt(now - sent_at, sent_at, now)
        self._end_round(now)
        return True

    def _note_rtt(self, rtt_s: float, sent_at: float, now: float) -> None:
        is_less = self._least_rtt_s == 0.0 or rtt_s <= self._least_rtt_s
        if is_less or (self._asks_since is not None and sent_at >= self._asks_since):
            self._least_rtt_s, self._least_rtt_at = rtt_s, now
            self._asks_since = None
        elif now - self._least_rtt_at > _RTT_LIFE_S and self._asks_since is None:
            self._asks_since = now

    def _asking_limit(self) -> float:
        """
        What may be in flight while the least round trip is asked for anew: too little for a queue.

        Measured beside a queue of ours, it would grow with the queue and the queue with it: after a
        minute of bulk everyone would wait for seconds.
        """
        needed = _ASKING_GAIN * max(self._rates, default=0.0) * self._least_rtt_s
        return max(needed, self.pace.floor_for(self.message_bytes))

    def _end_round(self, now: float) -> None:
        if self._round_at is None:
            return
        span = now - self._round_at
        if span < max(self._least_rtt_s, _LEAST_ROUND_S):
            return
        rate = (self._received - self._round_received) / span
        # A round in which the sender had too little to send says nothing about the path.
        if self._was_full or not self._rates or rate > max(self._rates):
            self._rates.append(rate)
            self._search(rate)
            self._set_limit()
        self._was_full = False
        is_quiet = self.in_flight < self.pace.step
        self._round_at = None if is_quiet else now
        self._round_received = self._received

    def _search(self, rate: float) -> None:
        if rate > 1.25 * self._best_rate:
            self._best_rate = rate
            self._flat_rounds = 0
        else:
            self._flat_rounds += 1

    def _set_limit(self) -> None:
        gain = _START_GAIN if self._flat_rounds < _FLAT_ROUNDS else _GAIN
        # Reports come in steps, so up to two of them are always on their way.
        rate = max(self._rates)
        self.message_bytes = max(int(rate * _MESSAGE_S), self.pace.least_message)
        floor = self.pace.floor_for(self.message_bytes)
        reports = 2 * max(self.pace.step_after(self.message_bytes), min(self.message_bytes, floor))
        needed = gain * rate * self._least_rtt_s + reports
        self.limit = int(min(max(needed, floor), CAP_BYTES))
