"""
The two directions of one stream: what was sent and may be needed again, what may come. Pure.

Memory is counted here so that it can be bounded: `SendBuffer` keeps every byte until the
peer acknowledged it (a new generation sends it again), `ReceiveWindow` says how far the
peer may go on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final

from commander.tunnel.codes import ProtocolViolation
from commander.tunnel.frames import Bytes

INITIAL_CREDIT: Final = 32 * 1024
"""What each side may send on a new stream before any CREDIT came; part of the protocol."""
FIRST_WINDOW: Final = 256 * 1024
MAX_WINDOW: Final = 4 * 1024 * 1024
ACK_STEP: Final = 256 * 1024
_SMALL: Final = 4 * 1024
_JOINED: Final = 16 * 1024


def _append_joined(chunks: deque[Bytes], data: Bytes) -> None:
    # A million one-byte writes must not become a million objects.
    if len(data) > _SMALL:
        chunks.append(data)
        return
    last = chunks[-1] if chunks else None
    if isinstance(last, bytearray) and len(last) + len(data) <= _JOINED:
        last += data
    else:
        chunks.append(bytearray(data))


class SendBuffer:
    """
    Bytes of one direction, from the local socket to the acknowledgement of the peer.

    `append` takes over the object it is given: do not change it afterwards.
    """

    __slots__ = ("_kept", "_kept_from", "_unsent", "acked", "credit", "end", "eof", "sent")

    def __init__(self) -> None:
        self._unsent: deque[Bytes] = deque()
        self._kept: deque[Bytes] = deque()
        self._kept_from = 0
        self.acked = 0
        self.sent = 0
        self.end = 0
        self.credit = INITIAL_CREDIT
        self.eof = False
        """EOF is wanted; it follows the last byte."""

    @property
    def unsent(self) -> int:
        """Bytes that wait for credit or for their turn."""
        return self.end - min(self.sent, self.end)

    @property
    def held(self) -> int:
        """Bytes in memory: unsent and unacknowledged ones."""
        return self.end - min(self.acked, self.end)

    @property
    def sendable(self) -> int:
        """Bytes that may go now."""
        return min(self.end, self.credit) - min(self.sent, self.end)

    @property
    def is_complete(self) -> bool:
        """Everything and its end were acknowledged."""
        return self.acked == self.end + 1

    @property
    def is_eof_due(self) -> bool:
        """All bytes are sent and the end is not."""
        return self.eof and self.sent == self.end

    def append(self, data: Bytes) -> None:
        """Add bytes at the end."""
        assert not self.eof
        _append_joined(self._unsent, data)
        self.end += len(data)

    def take(self, limit: int) -> Bytes:
        """Give the next bytes to send, between 1 and `limit` of them, and keep them for replay."""
        data = self._next(min(limit, self.sendable))
        self.sent += len(data)
        _append_joined(self._kept, data)
        return data

    def take_eof(self) -> int:
        """Count the end as sent; returns the offset that it stands at."""
        self.sent = self.end + 1
        return self.end

    def _next(self, limit: int) -> Bytes:
        first = self._unsent.popleft()
        if len(first) > limit:
            view = memoryview(first)
            self._unsent.appendleft(view[limit:])
            return view[:limit]
        if len(first) > _JOINED:
            return first
        # A copy is needed here anyway: a joined chunk may still grow in place.
        parts, size = [first], len(first)
        while self._unsent and size + len(self._unsent[0]) <= limit:
            parts.append(self._unsent.popleft())
            size += len(parts[-1])
        return b"".join(parts)

    def acknowledge(self, received: int) -> None:
        """Forget what the peer has. Raises ProtocolViolation outside of what was sent."""
        if not self.acked < received <= self.sent:
            raise ProtocolViolation("an acknowledgement is outside of what was sent")
        self.acked = received
        while self._kept and self._kept_from + len(self._kept[0]) <= received:
            self._kept_from += len(self._kept.popleft())

    def raise_credit(self, max_offset: int) -> None:
        """Let more bytes go. Raises ProtocolViolation for no rise, or one over the window."""
        if not self.credit < max_offset <= min(self.sent, self.end) + MAX_WINDOW:
            raise ProtocolViolation("a credit does not rise, or rises over the largest window")
        self.credit = max_offset

    def replay(self, received: int) -> Iterator[memoryview]:
        """The bytes sent after `received`, which lies between `acked` and `sent`."""
        start = self._kept_from
        for chunk in self._kept:
            skip = max(0, received - start)
            start += len(chunk)
            if skip < len(chunk):
                yield memoryview(chunk)[skip:]


class ReceiveWindow:
    """How far the peer may send on one stream, and how much of it the local socket took."""

    __slots__ = ("acked", "drained", "eof", "granted", "received", "window")

    def __init__(self) -> None:
        self.received = 0
        self.drained = 0
        self.granted = INITIAL_CREDIT
        self.window = FIRST_WINDOW
        self.acked = 0
        self.eof = False

    @property
    def position(self) -> int:
        """What an ACK says now."""
        return self.received + int(self.eof)

    @property
    def outstanding(self) -> int:
        """Bytes that may have to be held here: granted and not drained."""
        return self.granted - self.drained

    def is_ack_due(self, step: int = ACK_STEP) -> bool:
        """Enough came, or the end did, for an ACK; `step` is smaller when streams are many."""
        step = min(self.window // 4, step)
        return self.position > self.acked and (self.eof or self.received - self.acked >= step)

    def receive(self, offset: int, size: int) -> None:
        """Count arrived bytes. Raises ProtocolViolation for a gap, too much, or a late byte."""
        if self.eof:
            raise ProtocolViolation("data follows the end of its stream")
        if offset != self.received:
            raise ProtocolViolation("data is not at the offset that follows")
        if offset + size > self.granted:
            raise ProtocolViolation("data goes beyond the credit")
        self.received += size

    def receive_eof(self, offset: int) -> None:
        """Count the end. Raises ProtocolViolation when it comes twice or leaves a gap."""
        if self.eof or offset != self.received:
            raise ProtocolViolation("the end of a stream is repeated or leaves a gap")
        self.eof = True

    def next_grant(self, spare: int) -> int:
        """
        The credit to give now, or 0 for none; `spare` is what the tunnel's budget has left.

        The window doubles each time four windows went through and the socket keeps pace,
        so that a long fat path fills; a socket that stalls does not earn a larger one.
        """
        if self.eof:
            return 0
        self._grow(spare)
        target = self.drained + self.window
        if target - self.granted > spare:
            target = self.drained + INITIAL_CREDIT
            return target if target - self.granted >= INITIAL_CREDIT // 2 else 0
        return target if target - self.granted >= self.window // 4 else 0

    def _grow(self, spare: int) -> None:
        is_drained = self.received - self.drained < self.window // 4
        is_wanted = is_drained and self.drained >= 4 * self.window < 4 * MAX_WINDOW
        if is_wanted and 2 * self.window - self.outstanding <= spare:
            self.window *= 2
