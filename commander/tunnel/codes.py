"""The numbers that both ends of a tunnel must agree on: roles, reset codes, close codes."""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Self

from commander.errors import CommanderError, InvalidInput


class Role(StrEnum):
    """Which end of a conversation this is; keys and stream ids depend on it."""

    CLIENT = "client"
    GATEWAY = "gateway"

    @property
    def peer(self) -> Role:
        """The other end."""
        return Role.GATEWAY if self is Role.CLIENT else Role.CLIENT


class _Code(IntEnum):
    @classmethod
    def of(cls, number: int) -> Self:
        """The code of a number from the wire; numbers of a later version become OTHER (0)."""
        try:
            return cls(number)
        except ValueError:
            return cls(0)

    @property
    def label(self) -> str:
        """The published name, as in audit events and messages: `target-refused`."""
        return self.name.lower().replace("_", "-")


class ResetCode(_Code):
    """Why one stream ended without an orderly end."""

    OTHER = 0
    ABORTED = 1
    """The application or the target reset its connection."""
    TARGET_REFUSED = 2
    TARGET_UNREACHABLE = 3
    TARGET_TIMED_OUT = 4
    TARGET_NAME_UNKNOWN = 5
    NOT_ALLOWED = 6
    """The gateway's rules forbid this target or this stream."""
    TOO_MANY_STREAMS = 7
    TUNNEL_CLOSED = 8
    INTERNAL = 9


class CloseCode(_Code):
    """Why a whole tunnel ended."""

    OTHER = 0
    STOPPED = 1
    """The user, a signal or the end of a `--run` command stopped it."""
    GOING_AWAY = 2
    """The process of one end shuts down."""
    PROTOCOL_ERROR = 3
    """The peer broke the frame or mux rules, or a seal did not verify."""
    HELLO_FAILED = 4
    PATH_LOST = 5
    IDLE = 6
    EXPIRED = 7
    REVOKED = 8
    """A right that the tunnel rests on was taken away."""
    LIMIT = 9
    INTERNAL = 10


class ProtocolViolation(InvalidInput):
    """
    The peer sent bytes that are no frames, or frames that break the rules of the mux.

    The only error of the tunnel's parsers besides SealBroken. Close the tunnel with
    PROTOCOL_ERROR; the message is fit for a log and holds no bytes of the peer.
    """

    default_code = "tunnel-protocol"


class StreamRefused(CommanderError):
    """A stream cannot be opened; `reset_code` is what the other end is told."""

    default_code = "stream-refused"

    def __init__(self, reset_code: ResetCode, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.reset_code = reset_code
