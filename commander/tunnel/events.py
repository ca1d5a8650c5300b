"""What the mux tells its owner about a message it took, and of one it filled. Pure."""

from __future__ import annotations

from typing import NamedTuple

from commander.tunnel import frames
from commander.tunnel.codes import CloseCode, ResetCode


class StreamRequested(NamedTuple):
    """The client opened a stream; answer with `accept` or `reset`."""

    stream: int
    meta: bytes


class StreamAccepted(NamedTuple):
    """The far end of our stream is connected."""

    stream: int


class DataReceived(NamedTuple):
    """Bytes to deliver; call `drained` once the local socket took them."""

    stream: int
    data: frames.Bytes


class EofReceived(NamedTuple):
    """The peer's direction is complete."""

    stream: int


class StreamReset(NamedTuple):
    """The peer ended the stream at once; it is gone."""

    stream: int
    code: ResetCode
    reason: str


class TunnelClosed(NamedTuple):
    """The peer closed the tunnel; no event follows."""

    code: CloseCode
    reason: str


LinkFrame = frames.Ping | frames.Pong | frames.Progress | frames.Bye
"""Frames that speak of the link they came on; passed on as they are, for its owner."""
AboutLinks = frames.Abandon | frames.Prefer
"""Frames that speak of other links; passed on likewise."""

Event = (
    StreamRequested
    | StreamAccepted
    | DataReceived
    | EofReceived
    | StreamReset
    | TunnelClosed
    | LinkFrame
    | AboutLinks
)


class SentBytes(NamedTuple):
    """Bytes of a stream that a message holds; a length of 0 stands for the stream's end."""

    stream: int
    offset: int
    length: int


Entry = bytes | SentBytes
"""
What a message holds that must be sent again if it is lost: a control frame, or bytes.

Credit and acknowledgements are not among them: they are told anew when a link is lost.
"""
