"""
One control socket as a state machine: Hello first, then messages to pass on. No IO, no clock.

    upgrade -> Hello -> Send*          from the peer
               Deliver | Undeliverable | Head          to the peer

Whatever else comes closes the socket with a code of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from commander.errors import InvalidInput
from commander.ids import is_uid
from commander.router.limits import MAX_TEXT
from commander.wire.commands import COMMAND_LIMIT, Hello, Send, read_routed


class CloseCode(IntEnum):
    """WebSocket close codes that the router uses; the reason is a code of the published table."""

    GOING_AWAY = 1001
    BINARY_ONLY = 1003
    POLICY = 1008
    RESTART = 1012
    FENCED = 4001
    REVOKED = 4003
    PAIR_TIMEOUT = 4008
    PEER_GONE = 4010


class PeerMistake(InvalidInput):
    """The peer broke the rules of the control socket: close it with `close_code`."""

    def __init__(self, message: str, close_code: CloseCode = CloseCode.POLICY) -> None:
        super().__init__(message)
        self.close_code = close_code


class ControlProtocol:
    """
    Checks what one peer sends, in order.

    Feed every message to `receive`; the first result is the Hello, each later one a Send
    whose conversation and addressee have the form of identifiers. Raises PeerMistake.
    """

    __slots__ = ("greeted",)

    def __init__(self) -> None:
        self.greeted = False

    def receive(self, message: bytes | None) -> Hello | Send:
        """Judge one message; None stands for a text message."""
        if message is None:
            raise PeerMistake("text messages have no meaning here", CloseCode.BINARY_ONLY)
        try:
            routed = read_routed(message)
        except InvalidInput as error:
            raise PeerMistake(error.message) from None
        if not self.greeted:
            if not isinstance(routed, Hello) or not _is_plain_hello(routed):
                raise PeerMistake("the first message has to be a hello")
            self.greeted = True
            return routed
        if not isinstance(routed, Send):
            raise PeerMistake(f"{type(routed).__name__.lower()} is not for the router")
        if not (is_uid(routed.conversation) and is_uid(routed.to)):
            raise PeerMistake("conversation or addressee is not a UID")
        if len(routed.payload) > COMMAND_LIMIT:
            raise PeerMistake("the payload is too large")
        return routed


def _is_plain_hello(hello: Hello) -> bool:
    return all(len(text) <= MAX_TEXT and text.isprintable() for text in (hello.version, hello.name))


@dataclass
class Allowance:
    """How many messages a peer may still send: `rate` a second, at most `burst` at once."""

    rate: float
    burst: float
    left: float
    since: float

    @classmethod
    def full(cls, rate: float, burst: float, now: float) -> Allowance:
        """A fresh allowance."""
        return cls(rate, burst, burst, now)

    def take(self, now: float) -> bool:
        """Use one; False when nothing is left."""
        self.left = min(self.burst, self.left + max(0.0, now - self.since) * self.rate)
        self.since = now
        if self.left < 1.0:
            return False
        self.left -= 1.0
        return True
