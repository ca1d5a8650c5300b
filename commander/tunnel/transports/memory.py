"""Two ends in one event loop, with every fault that a path can have; used by tests."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from random import Random  # noqa: TID251  # seeded by the caller
from typing import Final

from commander.tunnel.path import KIND_MEMORY, STREAM_MESSAGE_BYTES, PathEvents

_HIGH_MARK: Final = 1024 * 1024
_LOW_MARK: Final = 256 * 1024


@dataclass(frozen=True)
class Faults:
    """
    What goes wrong on the way; the default is nothing.

    Rates are between 0 and 1 per message. A path that reorders, repeats or alters
    messages must end its generation at the receiver, and nothing worse.
    """

    delay_s: float = 0.0
    jitter_s: float = 0.0
    """Extra delay, without overtaking."""
    bytes_per_s: float | None = None
    """A bottleneck with an endless queue in front of it."""
    cut_after: int | None = None
    """Messages each way after which the path dies, the one too many with it."""
    reorder: float = 0.0
    duplicate: float = 0.0
    corrupt: float = 0.0
    black_hole_after: int | None = None
    """Messages each way after which everything vanishes without a sign."""


class MemoryPath:
    """One end of a path between two objects in this process; make both with `memory_paths`."""

    kind = KIND_MEMORY

    def __init__(self, faults: Faults, rng: Random, max_message_bytes: int) -> None:
        self.max_message_bytes = max_message_bytes
        self.messages_sent = 0
        self._faults = faults
        self._rng = rng
        self._peer: MemoryPath | None = None
        self._events: PathEvents | None = None
        self._backlog = 0
        self._is_blocked = False
        self._is_held = False
        self._arrivals: deque[bytes] = deque()
        self._departures: deque[bytes] = deque()
        self._on_the_way: deque[bytes | None] = deque()
        self._lost_reason: str | None = None
        self._is_lost_told = False
        self._due_at = 0.0
        self._free_at = 0.0
        self._held_back: bytes | None = None

    def connect(self, peer: MemoryPath) -> None:
        """Join two ends."""
        self._peer = peer

    def hold(self) -> None:
        """Let messages pile up in the backlog, as on a network that stalls."""
        self._is_held = True

    def release(self) -> None:
        """Let what `hold` kept go on its way."""
        self._is_held = False
        held, self._departures = self._departures, deque()
        for message in held:
            self._depart(message)

    def send(self, message: bytes) -> None:
        """Hand in one message."""
        assert len(message) <= self.max_message_bytes
        if self._lost_reason is not None:
            return
        self._backlog += len(message)
        self._is_blocked = self._is_blocked or self._backlog >= _HIGH_MARK
        if self._is_held:
            self._departures.append(message)
        else:
            self._depart(message)

    def backlog_bytes(self) -> int:
        """Bytes handed in and not delivered yet."""
        return self._backlog if self._lost_reason is None else 0

    def start(self, events: PathEvents) -> None:
        """Let callbacks flow."""
        assert self._events is None
        self._events = events
        asyncio.get_running_loop().call_soon(self._deliver)

    async def close(self, reason: str = "") -> None:
        """End the path: here at once, at the other end after what was sent before."""
        if self._lost_reason is not None:
            return
        self._lose(reason or "closed")
        if self._peer is not None:
            self._put_on_the_way(None)

    def cut(self, reason: str = "cut") -> None:
        """Kill the path, as a pulled cable that both ends notice."""
        for end in (self, self._peer):
            if end is not None:
                end._on_the_way.clear()
                end._lose(reason)

    def _lose(self, reason: str) -> None:
        if self._lost_reason is None:
            self._lost_reason = reason
            asyncio.get_running_loop().call_soon(self._deliver)

    def _depart(self, message: bytes) -> None:
        self.messages_sent += 1
        faults = self._faults
        if faults.cut_after is not None and self.messages_sent > faults.cut_after:
            self.cut("cut by the fault pattern")
            return
        self._put_on_the_way(message)

    def _put_on_the_way(self, message: bytes | None) -> None:
        loop = asyncio.get_running_loop()
        delay = self._faults.delay_s + self._rng.uniform(0, self._faults.jitter_s)
        self._on_the_way.append(message)
        # Due times only rise, so jitter never lets one message overtake another.
        if self._faults.bytes_per_s is not None:
            start = max(self._free_at, loop.time())
            self._free_at = start + len(message or b"") / self._faults.bytes_per_s
            delay += self._free_at - loop.time()
        self._due_at = max(self._due_at, loop.time() + delay)
        loop.call_at(self._due_at, self._arrive)

    def _arrive(self) -> None:
        if not self._on_the_way:
            return
        message = self._on_the_way.popleft()
        if message is None:
            if self._peer is not None:
                self._peer._lose("closed by the other end")
            return
        self._backlog -= len(message)
        for altered in self._apply_faults(message):
            if self._peer is not None:
                self._peer._take(altered)
        if self._is_blocked and self._backlog <= _LOW_MARK:
            self._is_blocked = False
            if self._events is not None and self._lost_reason is None:
                self._events.path_ready()

    def _apply_faults(self, message: bytes) -> list[bytes]:
        faults, rng = self._faults, self._rng
        if faults.black_hole_after is not None and self.messages_sent > faults.black_hole_after:
            return []
        if faults.corrupt and rng.random() < faults.corrupt:
            position = rng.randrange(len(message))
            flipped = bytes([message[position] ^ 1 << rng.randrange(8)])
            message = message[:position] + flipped + message[position + 1 :]
        if self._held_back is not None:
            held_back, self._held_back = self._held_back, None
            return [message, held_back]
        if faults.reorder and rng.random() < faults.reorder:
            self._held_back = message
            return []
        if faults.duplicate and rng.random() < faults.duplicate:
            return [message, message]
        return [message]

    def _take(self, message: bytes) -> None:
        if self._lost_reason is not None:
            return
        if self._events is not None and not self._arrivals:
            self._events.message_received(message)
        else:
            self._arrivals.append(message)

    def _deliver(self) -> None:
        if self._events is None:
            return
        while self._arrivals:
            self._events.message_received(self._arrivals.popleft())
        if self._lost_reason is not None and not self._is_lost_told:
            self._is_lost_told = True
            self._events.path_lost(self._lost_reason)


def memory_paths(
    faults: Faults | None = None,
    *,
    seed: int = 0,
    max_message_bytes: int = STREAM_MESSAGE_BYTES,
) -> tuple[MemoryPath, MemoryPath]:
    """Make the two ends of a path; equal seeds and uses give equal faults."""
    rng = Random(seed)  # noqa: S311  # a fault pattern is no secret and must be repeatable
    one = MemoryPath(faults or Faults(), rng, max_message_bytes)
    two = MemoryPath(faults or Faults(), rng, max_message_bytes)
    one.connect(two)
    two.connect(one)
    return one, two
