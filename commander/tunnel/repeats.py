"""
Which bytes go by two links at once: the few of an interactive stream, where packets get lost. Pure.

What TCP lost at the end of what there was to send, it sends again after 200 ms and more: a keystroke in a
hundred. By a second link it is there in time nine thousand nine hundred times of ten thousand, and
costs a packet. Links overtake each other and repeat anyway; the peer drops what it has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from commander.tunnel import frames
from commander.tunnel.events import Entry, SentBytes

MAX_BYTES: Final = 1024
"""Of one message; more is no keystroke."""
PER_HEARTBEAT: Final = 400
"""Messages; whoever has more to say finds a lost one out by those that follow it."""


class Repeats:
    """What of a message is worth a repeat, up to a number between two heartbeats."""

    def __init__(self) -> None:
        self._left = PER_HEARTBEAT

    def refill(self) -> None:
        """A heartbeat."""
        self._left = PER_HEARTBEAT

    def take(
        self,
        parts: Sequence[frames.Bytes],
        entries: Sequence[Entry],
        is_known: Callable[[int], bool],
    ) -> list[frames.Bytes]:
        """
        The frames to repeat of what `Mux.put` added to a message; none for what is large or has
        a stream that the peer may not know of yet, since nothing may arrive before its OPEN.
        """
        sent = [entry for entry in entries if isinstance(entry, SentBytes)]
        if not sent or len(sent) < len(entries) or self._left <= 0:
            return []
        if sum(entry.length for entry in sent) > MAX_BYTES:
            return []
        if not all(is_known(entry.stream) for entry in sent):
            return []
        self._left -= 1
        return _bytes_and_ends(parts)


def _bytes_and_ends(parts: Sequence[frames.Bytes]) -> list[frames.Bytes]:
    """DATA, a header with the bytes behind it, and EOF; every other part is a frame of another kind."""
    found: list[frames.Bytes] = []
    rest = iter(parts)
    for part in rest:
        if part[0] == frames.KIND_DATA:
            found += (part, next(rest))
        elif part[0] == frames.KIND_EOF:
            found.append(part)
    return found
