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
        self._lanes: tuple[int, ...] = ()
        self._small: deque[int] = deque()
        self._early: deque[int] = deque()
        self._bulk: dict[int | None, deque[int]] = {None: deque()}
        self._lane_of: dict[int, int] = {}
        self._waiting: set[int] = set()
        self._small_room = 0

    @property
    def is_empty(self) -> bool:
        """Whether no stream waits for its turn."""
        return not self._waiting

    def has_turn(self, lane: int) -> bool:
        """Whether anything that waits may go by a lane; it may turn out to be over already."""
        if not self._lanes or lane not in self._lanes:
            return False
        if self._leads(lane) and (self._small or self._early):
            return True
        return self._carries_bulk(lane) and any(self._bulk.values())

    def set_lanes(self, lanes: Sequence[int]) -> None:
        """Send by these from now on, the leading one first; whoever was bound to others is free."""
        self._lanes = tuple(lanes)
        waiting = [stream for queue in self._bulk.values() for stream in queue]
        self._bulk = {None: deque(waiting), **{lane: deque() for lane in self._lanes}}
        self._lane_of.clear()

    def add(self, stream: int, unsent: int, *, is_accepted: bool = True) -> None:
        """Queue a stream that has something to send; no effect while it already waits."""
        if stream in self._waiting:
            return
        self._waiting.add(stream)
        if unsent <= SMALL_BYTES:
            self._small.append(stream)
        elif is_accepted:
            self._bulk[self._lane_of.get(stream)].append(stream)
        else:
            self._early.append(stream)

    def forget(self, stream: int) -> None:
        """Drop a stream that is over."""
        self._waiting.discard(stream)
        self._lane_of.pop(stream, None)
        if not self._waiting:
            self._small.clear()
            self._early.clear()
            for queue in self._bulk.values():
                queue.clear()

    def start_message(self, room: int) -> None:
        """Begin a message: small chunks may have half of its room while bulk waits."""
        has_others = bool(self._early) or any(self._bulk.values())
        self._small_room = room // 2 if has_others and len(self._lanes) <= 1 else sys.maxsize

    def next(self, room: int, lane: int) -> Turn | None:
        """The next stream for a lane and its share of the room that is left, or None."""
        if self._leads(lane):
            while self._small and self._small_room > 0:
                stream = self._small.popleft()
                if self._begins(stream):
                    self._small_room -= SMALL_BYTES
                    return Turn(stream, min(room, SMALL_BYTES + 64))
            while self._early:
                stream = self._early.popleft()
                if self._begins(stream):
                    return Turn(stream, room)
        if not self._carries_bulk(lane):
            return None
        while (queue := self._queue_for(lane)) is not None:
            stream = queue.popleft()
            if self._begins(stream):
                self._lane_of[stream] = lane
                return Turn(stream, room)
        return None

    def _begins(self, stream: int) -> bool:
        if stream not in self._waiting:
            return False
        self._waiting.discard(stream)
        return True

    def _leads(self, lane: int) -> bool:
        return self._lanes[0] == lane

    def _carries_bulk(self, lane: int) -> bool:
        return len(self._lanes) == 1 or not self._leads(lane)

    def _queue_for(self, lane: int) -> deque[int] | None:
        for own in (lane, None):
            if self._bulk[own]:
                return self._bulk[own]
        longest = max(self._bulk.values(), key=len)
        return longest or None
