"""What a tunnel tells its owner, for logs, audit and `pam tunnel list`; and what it may cost."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from commander.tunnel.codes import CloseCode
from commander.tunnel.mux import MuxLimits


@dataclass(frozen=True)
class TunnelLimits:
    """Deadlines and sizes of one tunnel; the defaults are the published ones."""

    heartbeat_s: float = 2.0
    dead_after_s: float = 6.0
    hello_s: float = 10.0
    connect_s: float = 10.0
    idle_s: float | None = None
    """Close the tunnel after this time without a byte of any stream."""
    close_s: float = 3.0
    resume_s: float = 0.0
    """How long connections wait for another path when all are lost; 0 ends the tunnel at once."""
    gone_s: float = 15.0
    """The same at a gateway when the client's host closed the last path: its process may have ended."""
    backlog_bytes: int = 1024 * 1024
    """Bytes handed to a path that it has not put on the network."""
    mux: MuxLimits = field(default_factory=MuxLimits)


@dataclass(frozen=True)
class StreamReport:
    """One TCP connection of a tunnel; `bytes_out` left this end's socket for the far end."""

    stream: int
    meta: bytes
    bytes_in: int
    bytes_out: int
    since: float
    cause: str = ""
    """Why it ended: "closed" in order, or the label of a reset code; empty while it lives."""
    reason: str = ""
    by_peer: bool = False
    state: str = ""
    """While it lives: "connecting", "open", or which side has closed: "local-closed", "target-closed"."""


@dataclass(frozen=True)
class LinkReport:
    """One live link; byte counts are those of sealed messages, heartbeats and repeats included."""

    kind: str
    generation: int
    group: int
    rtt_s: float | None
    since: float
    bytes_in: int
    bytes_out: int
    is_preferred: bool


@dataclass(frozen=True)
class TunnelStats:
    """How a tunnel does now; byte counts are those of its streams, the path is the one that leads."""

    bytes_in: int
    bytes_out: int
    streams_open: int
    streams_total: int
    rtt_s: float | None
    path_kind: str
    generation: int
    since: float
    """When the first path was verified, in seconds since 1970; 0 before."""


class TunnelEvents(Protocol):
    """
    Called by the engine inside the event loop, for the owner's logs and audit.

    Must return at once and not raise. `tunnel_closed` comes last and once.
    """

    def path_up(self, kind: str, generation: int) -> None:
        """A path is verified; it carries the tunnel, or may do so later."""
        ...

    def path_lost(self, kind: str, reason: str) -> None:
        """A path is gone; others may live."""
        ...

    def path_narrow(self, kind: str, group: int) -> None:
        """More carriers would carry more: those of the group that carries lose too much on a long way."""
        ...

    def tunnel_interrupted(self, reason: str, *, gone: bool) -> None:
        """
        The last path is gone and connections wait for another.

        `gone`: the far end's host closed it, so its process may have ended.
        """
        ...

    def tunnel_resumed(self, kind: str, after_s: float) -> None:
        """A new path took over; nothing was lost."""
        ...

    def stream_opened(self, stream: int, meta: bytes) -> None:
        """A connection was accepted here, or asked for by the client."""
        ...

    def stream_closed(self, report: StreamReport) -> None:
        """A connection is over."""
        ...

    def tunnel_closed(self, code: CloseCode, reason: str) -> None:
        """The tunnel is over, with all its connections."""
        ...


class NoEvents:
    """For owners that listen to nothing."""

    def path_up(self, kind: str, generation: int) -> None:
        """Ignored."""

    def path_lost(self, kind: str, reason: str) -> None:
        """Ignored."""

    def path_narrow(self, kind: str, group: int) -> None:
        """Ignored."""

    def tunnel_interrupted(self, reason: str, *, gone: bool) -> None:
        """Ignored."""

    def tunnel_resumed(self, kind: str, after_s: float) -> None:
        """Ignored."""

    def stream_opened(self, stream: int, meta: bytes) -> None:
        """Ignored."""

    def stream_closed(self, report: StreamReport) -> None:
        """Ignored."""

    def tunnel_closed(self, code: CloseCode, reason: str) -> None:
        """Ignored."""
