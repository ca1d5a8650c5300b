"""
The port that every transport fits: whole sealed messages in, whole sealed messages out.

A path is trusted with nothing. What travels on it is sealed by the tunnel, so a path that
loses, repeats, reorders or alters a message ends its generation and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

from commander.tunnel.narrow import TcpCounts

KIND_MEMORY: Final = "memory"
KIND_RELAY: Final = "relay"
KIND_WEBRTC: Final = "webrtc"
KIND_TURN: Final = "turn"
"""WebRTC through a TURN relay at both ends, so that neither learns the other's address."""
KIND_DIRECT: Final = "direct"

# Seal header and tag, frame header: what a message needs beyond its payload.
OVERHEAD_BYTES: Final = 128
STREAM_MESSAGE_BYTES: Final = 256 * 1024 + OVERHEAD_BYTES
"""Largest message of paths over TCP (relay, direct, memory)."""
DATA_CHANNEL_MESSAGE_BYTES: Final = 16 * 1024
"""Largest message of a data channel: what every WebRTC peer takes without fragments."""
MIN_MESSAGE_BYTES: Final = 8 * 1024
"""No path may have a smaller `max_message_bytes`."""


class PathEvents(Protocol):
    """What a path tells its owner, in the event loop that started it, never from inside `send`."""

    def message_received(self, message: bytes | memoryview) -> None:
        """
        One whole message, not longer than `max_message_bytes`, in the order of arrival.

        A view is good until this returns: its memory is received into again. Copy what is kept.
        """
        ...

    def path_ready(self) -> None:
        """The backlog fell below the path's low mark after it was above its high mark."""
        ...

    def path_lost(self, reason: str, *, gone: bool = False) -> None:
        """
        The path is dead; called exactly once, also after a close by either side.

        Nothing is called after it. `reason` is fit for a log: no secrets, no peer's bytes.
        `gone` means that the far end's host closed the carrier, so its process may have ended;
        silence, a fault on the way and our own close are not that.
        """
        ...


class Path(Protocol):
    """One carrier between the two ends of a conversation; messages keep their borders."""

    @property
    def kind(self) -> str:
        """One of "memory", "relay", "webrtc", "turn", "direct"; shown to people."""
        ...

    @property
    def max_message_bytes(self) -> int:
        """Largest message that `send` takes; constant for the life of the path."""
        ...

    def send(self, message: bytes) -> None:
        """
        Hand in one message; never blocks and never calls back.

        The carrier queues it. The caller watches `backlog_bytes` and waits for
        `path_ready`. On a dead path the message is dropped, without an error:
        `path_lost` tells. A message over `max_message_bytes` is a mistake of the caller.
        """
        ...

    def backlog_bytes(self) -> int:
        """Bytes handed in that have not reached the network yet; 0 on a dead path."""
        ...

    def start(self, events: PathEvents) -> None:
        """
        Let callbacks flow; called once, by the engine, inside the event loop.

        Messages that came before are kept (bounded by the transport) and delivered first;
        a path that died before tells so by `path_lost` soon after, not inside this call.
        """
        ...

    async def close(self, reason: str = "") -> None:
        """Close the carrier and wait until it has ended, a few seconds at most; idempotent."""
        ...


@runtime_checkable
class CountedPath(Protocol):
    """A path of which the kernel's counts tell what is lost on the whole way."""

    def tcp_counts(self) -> TcpCounts | None:
        """Those so far; None where the system does not tell them."""
        ...


@dataclass(frozen=True)
class Binding:
    """
    What ties a path to its two ends; both must hold the same values, and HELLO proves it.

    For WebRTC the DTLS certificate fingerprints of client and gateway, for TLS paths an
    exported keying value or the certificates' digests, for the relay path empty: there the
    conversation's keys are the only proof, and they suffice.
    """

    client: bytes = b""
    gateway: bytes = b""
