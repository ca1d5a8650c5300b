"""
The two directions of one stream: what was sent and may be needed again, what may come. Pure.

Memory is counted here so that it can be bounded: `SendBuffer` keeps every byte until the
peer acknowledged it (what died with a link is sent again on another), `ReceiveWindow` says how
far the peer may go on, and puts in order what came by several links.
"""

from __future__ import annotations

import heapq
from collections import deque
from typing import Final, NamedTuple

from commander.tunnel.codes import ProtocolViolation
from commander.tunnel.frames import Bytes

INITIAL_CREDIT: Final = 32 * 1024
"""What each side may send on a new stream before any CREDIT came; part of the protocol."""
FIRST_WINDOW: Final = 256 * 1024
MAX_WINDOW: Final = 4 * 1024 * 1024
ACK_STEP: Final = 256 * 1024
MAX_HELD: Final = 2048
"""Chunks of one stream that came before their turn."""
_SMALL: Final = 4 * 1024
_JOINED: Final = 16 * 1024


def _append_joined(chunks: deque[Bytes], data: Bytes) -> None:
    # A million one-byte writes must not become a million objects.
    if len(data) > _SMALL:
        chunks.append(data)
        return
    last = chunks[-1] if chunks else None
    if last is None or len(last) + len(data) > _JOINED:
        # A small view would keep all of what it is a part of.
        chunks.append(data if isinstance(data, bytes) else bytes(data))
    elif isinstance(last, bytearray):
        last += data
    else:
        chunks[-1] = bytearray(last) + data


class Piece(NamedTuple):
    """Bytes of a stream and where they stand in it."""

    offset: int
    data: Bytes


class SendBuffer:
    """
    Bytes of one direction, from the local socket to the acknowledgement of the peer.

    `append` takes over the object it is given: do not change it afterwards.
    """

    __slots__ = (
        "_is_eof_lost", "_kept", "_kept_from", "_lost", "_unsent", "acked", "credit", "end", "eof",
        "sent",
    )  # fmt: skip

    def __init__(self) -> None:
        self._unsent: deque[Bytes] = deque()
        self._kept: deque[Bytes] = deque()
        self._kept_from = 0
        self._lost: list[tuple[int, int]] = []
        self._is_eof_lost = False
        self.acked = 0
        self.sent = 0
        self.end = 0
        self.credit = INITIAL_CREDIT
        self.eof = False
        """EOF is wanted; it follows the last byte."""

    @property
    def unsent(self) -> int:
        """Bytes that wait for credit or for their turn the first time."""
        return max(0, self.end - self.sent)

    @property
    def held(self) -> int:
        """Bytes in memory: unsent and unacknowledged ones."""
        return max(0, self.end - self.acked)

    @property
    def sendable(self) -> int:
        """Bytes that may go now, for the first time or again."""
        fresh = max(0, min(self.end, self.credit) - self.sent)
        return fresh + sum(end - start for start, end in self._lost) if self._lost else fresh

    @property
    def is_complete(self) -> bool:
        """Everything and its end were acknowledged."""
        return self.acked == self.end + 1

    @property
    def is_eof_due(self) -> bool:
        """All bytes are sent and the end is not, or was lost."""
        return self.eof and (self.sent == self.end or self._is_eof_lost)

    def append(self, data: Bytes) -> None:
        """Add bytes at the end."""
        assert not self.eof
        _append_joined(self._unsent, data)
        self.end += len(data)

    def take(self, limit: int) -> Piece:
        """Give the next bytes to send, between 1 and `limit` of them, and keep them until acknowledged."""
        if self._lost:
            return self._take_lost(limit)
        offset = self.sent
        data = self._next(min(limit, self.sendable))
        self.sent += len(data)
        _append_joined(self._kept, data)
        return Piece(offset, data)

    def take_eof(self) -> int:
        """Count the end as sent; returns the offset that it stands at."""
        self.sent = self.end + 1
        self._is_eof_lost = False
        return self.end

    def lose(self, offset: int, length: int) -> None:
        """
        Note that bytes which were sent may not have arrived; a length of 0 speaks of the end.

        What was acknowledged meanwhile is left out.
        """
        if length == 0:
            self._is_eof_lost = self.acked <= self.end < self.sent
            return
        start, end = max(offset, self.acked), offset + length
        if start < end:
            self._lost = _merged([*self._lost, (start, end)])

    def _next(self, limit: int) -> Bytes:
        first = self._unsent.popleft()
        if len(first) > limit:
            view = memoryview(first)
            self._unsent.appendleft(view[limit:])
            return view[:limit]
        if len(first) > _JOINED or (not self._unsent and isinstance(first, bytes)):
            return first
        # A copy is needed here anyway: a joined chunk may still grow in place.
        parts, size = [first], len(first)
        while self._unsent and size + len(self._unsent[0]) <= limit:
            parts.append(self._unsent.popleft())
            size += len(parts[-1])
        return b"".join(parts)

    def _take_lost(self, limit: int) -> Piece:
        start, end = self._lost[0]
        chunk, chunk_start = self._kept_at(start)
        stop = min(end, start + limit, chunk_start + len(chunk))
        if stop == end:
            del self._lost[0]
        else:
            self._lost[0] = (stop, end)
        data = memoryview(chunk)[start - chunk_start : stop - chunk_start]
        # A joined chunk may still grow in place, which a view of it would forbid.
        return Piece(start, bytes(data) if isinstance(chunk, bytearray) else data)

    def _kept_at(self, offset: int) -> tuple[Bytes, int]:
        # What is lost is not acknowledged, and so is still kept.
        start, kept = self._kept_from, iter(self._kept)
        chunk = next(kept)
        while offset >= start + len(chunk):
            start += len(chunk)
            chunk = next(kept)
        return chunk, start

    def acknowledge(self, received: int) -> None:
        """
        Forget what the peer has; an older word than the last, by a slower link, changes nothing.

        Raises ProtocolViolation for more than was sent.
        """
        if received > self.sent:
            raise ProtocolViolation("an acknowledgement is outside of what was sent")
        if received <= self.acked:
            return
        self.acked = received
        while self._kept and self._kept_from + len(self._kept[0]) <= received:
            self._kept_from += len(self._kept.popleft())
        if self._lost:
            self._lost = [(max(s, received), e) for s, e in self._lost if e > received]
        if received > self.end:
            self._is_eof_lost = False

    def raise_credit(self, max_offset: int) -> None:
        """Let more bytes go, if it is more. Raises ProtocolViolation for a rise over the window."""
        if max_offset > min(self.sent, self.end) + MAX_WINDOW:
            raise ProtocolViolation("a credit rises over the largest window")
        self.credit = max(self.credit, max_offset)


def _merged(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


class ReceiveWindow:
    """
    How far the peer may send on one stream, and how much of it the local socket took.

    Links overtake each other, so bytes may come before their turn: they wait here, within the
    credit that was given and in at most `MAX_HELD` chunks.
    """

    __slots__ = (
        "_end_at", "_held", "_held_count", "acked", "drained", "eof", "granted", "received",
        "told", "window",
    )  # fmt: skip

    def __init__(self) -> None:
        self._held: list[tuple[int, int, Bytes]] = []
        self._held_count = 0
        self._end_at: int | None = None
        self.told = 0
        """Credit that the peer was told of, as far as we know."""
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
    def is_grant_due(self) -> bool:
        """Whether so much was drained that `next_grant` may give something."""
        return self.drained + self.window - self.granted >= self.window // 4

    @property
    def outstanding(self) -> int:
        """Bytes that may have to be held here: granted and not drained."""
        return self.granted - self.drained

    def is_ack_due(self, step: int = ACK_STEP) -> bool:
        """Enough came for an ACK; `step` is smaller when streams are many."""
        return self.received - self.acked >= min(self.window // 4, step)

    def receive(self, offset: int, data: Bytes) -> list[Bytes]:
        """
        Take arrived bytes and return those whose turn it is; what came before is left out.

        Raises ProtocolViolation for bytes beyond the credit or the end, or too many gaps.
        """
        end = offset + len(data)
        if end > self.granted:
            raise ProtocolViolation("data goes beyond the credit")
        if self._end_at is not None and end > self._end_at:
            raise ProtocolViolation("data follows the end of its stream")
        if offset > self.received:
            self._hold(offset, data)
            return []
        if end <= self.received:
            return []
        turn = [data if offset == self.received else memoryview(data)[self.received - offset :]]
        self.received = end
        if self._held:
            self._release(turn)
        self.eof = self.received == self._end_at
        return turn

    def receive_eof(self, offset: int) -> None:
        """Note where the stream ends. Raises ProtocolViolation when it ends elsewhere too."""
        if offset < self.received or self._end_at not in (None, offset):
            raise ProtocolViolation("a stream has two ends, or data behind its end")
        if any(start + len(data) > offset for start, _, data in self._held):
            raise ProtocolViolation("a stream has data behind its end")
        self._end_at = offset
        self.eof = self.received == offset

    def _hold(self, offset: int, data: Bytes) -> None:
        if len(self._held) >= MAX_HELD:
            raise ProtocolViolation("too many pieces of a stream come before their turn")
        # A small view would keep the whole message that it came in.
        kept = data if len(data) >= _JOINED else bytes(data)
        self._held_count += 1
        heapq.heappush(self._held, (offset, self._held_count, kept))

    def _release(self, turn: list[Bytes]) -> None:
        while self._held and self._held[0][0] <= self.received:
            offset, _, data = heapq.heappop(self._held)
            if offset + len(data) > self.received:
                turn.append(memoryview(data)[self.received - offset :])
                self.received = offset + len(data)

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
