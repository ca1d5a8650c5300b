from __future__ import annotations

import sys
from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

SMALL_BYTES: Final = 4 * 1024
"""A stream with no more than this to send counts as interactive."""


class Turn(NamedTuple):
    """Which stream sends next, and how much of the message it may use."""

    stream: int
    limit: int


class Turns:
    """
    The order in which streams fill messages, and by which link (lane) each goes. Pure.

    The first lane leads: it alone carries interactive streams and those that are not accepted
    yet. Bulk keeps to the lane it began on while that lane has room, so that what is lost on one
    holds nobody up on another; a lane with nothing of its own takes over from the one where
    most wait, so that one download fills them all. With one lane, small chunks take up to
    half of a message while bulk waits: a keystroke overtakes a download and a thousand
    keystrokes do not stop it.
    """

    def __init__(self) -> None:
        self.waiting: set[int] = set()
        """Streams that wait for their turn."""
        self._leader: int | None = None
        self._carriers: frozenset[int] = frozenset()
        self._small: deque[int] = deque()
        self._early: deque[int] = deque()
        self._bulk: dict[int | None, deque[int]] = {None: deque()}
        self._lane_of: dict[int, int] = {}
        self._small_room = 0

    def set_lanes(self, lanes: Sequence[int]) -> None:
        """Send by these from now on, the leading one first; whoever was bound to others is free."""
        self._leader = lanes[0] if lanes else None
        self._carriers = frozenset(lanes[1:] or lanes)
        waiting = [stream for queue in self._bulk.values() for stream in queue]
        self._bulk = {None: deque(waiting), **{lane: deque() for lane in lanes}}
        self._lane_of.clear()

    def add(self, stream: int, unsent: int, *, is_accepted: bool = True) -> None:
        """Queue a stream that has something to send; no effect while it already waits."""
        if stream in self.waiting:
            return
        self.waiting.add(stream)
        if unsent <= SMALL_BYTES:
            self._small.append(stream)
        elif is_accepted:
            self._bulk[self._lane_of.get(stream)].append(stream)
        else:
            self._early.append(stream)

    def forget(self, stream: int) -> None:
        """Drop a stream that is over."""
        self.waiting.discard(stream)
        self._lane_of.pop(stream, None)
        if not self.waiting:
            self._small.clear()
            self._early.clear()
            for queue in self._bulk.values():
                queue.clear()

    def start_message(self, room: int) -> None:
        """Begin a message: small chunks may have half of its room while bulk waits."""
        is_shared = self._leader in self._carriers
        has_others = is_shared and (bool(self._early) or any(self._bulk.values()))
        self._small_room = room // 2 if has_others else sys.maxsize

    def next(self, room: int, lane: int) -> Turn | None:
        """The next stream for a lane and its share of the room that is left, or None."""
        if lane == self._leader:
            while self._small and self._small_room > 0:
                stream = self._small.popleft()
                if self._begins(stream):
                    self._small_room -= SMALL_BYTES
                    return Turn(stream, min(room, SMALL_BYTES + 64))
            while self._early:
                stream = self._early.popleft()
                if self._begins(stream):
                    return Turn(stream, room)
        if lane not in self._carriers:
            return None
        while (queue := self._queue_for(lane)) is not None:
            stream = queue.popleft()
            if self._begins(stream):
                self._lane_of[stream] = lane
                return Turn(stream, room)
        return None

    def _begins(self, stream: int) -> bool:
        if stream not in self.waiting:
            return False
        self.waiting.discard(stream)
        return True

    def _queue_for(self, lane: int) -> deque[int] | None:
        for own in (lane, None):
            if self._bulk[own]:
                return self._bulk[own]
        longest = max(self._bulk.values(), key=len)
        return longest or None
