from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

SMALL_BYTES: Final = 4 * 1024
"""A stream with no more than this to send counts as interactive."""


class Turn(NamedTuple):
    """Which stream sends next, and how much of the message it may use."""

    stream: int
    limit: int


class Turns:
    """
    The order in which streams fill messages: interactive ones first, each in its turn. Pure.

    Small chunks take up to half of a message while bulk waits, so a keystroke overtakes
    a download and a thousand keystrokes do not stop it.
    """

    def __init__(self) -> None:
        self._small: deque[int] = deque()
        self._bulk: deque[int] = deque()
        self._waiting: set[int] = set()
        self._small_room = 0

    @property
    def is_empty(self) -> bool:
        """Whether no stream waits for its turn."""
        return not self._waiting

    def add(self, stream: int, unsent: int) -> None:
        """Queue a stream that has something to send; no effect while it already waits."""
        if stream not in self._waiting:
            self._waiting.add(stream)
            (self._small if unsent <= SMALL_BYTES else self._bulk).append(stream)

    def forget(self, stream: int) -> None:
        """Drop a stream that is over."""
        self._waiting.discard(stream)
        if not self._waiting:
            self._small.clear()
            self._bulk.clear()

    def start_message(self, room: int) -> None:
        """Begin a message: small chunks may have half of its room while bulk waits."""
        self._small_room = room // 2 if self._bulk else room

    def next(self, room: int) -> Turn | None:
        """The next stream and its share of the room that is left, or None when none waits."""
        while self._small and (self._small_room > 0 or not self._bulk):
            stream = self._small.popleft()
            if stream in self._waiting:
                self._waiting.discard(stream)
                self._small_room -= SMALL_BYTES
                return Turn(stream, min(room, SMALL_BYTES + 64))
        while self._bulk:
            stream = self._bulk.popleft()
            if stream in self._waiting:
                self._waiting.discard(stream)
                return Turn(stream, room)
        return None
