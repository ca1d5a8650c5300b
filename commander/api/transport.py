from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from commander.errors import Unreachable

ANSWER_LIMIT = 64 * 1024 * 1024


class NotSent(Unreachable):
    """The request did not reach the server, so that any call may be made again."""


@dataclass(frozen=True)
class HttpAnswer:
    """Status and the whole body."""

    status: int
    body: bytes


class Transport(Protocol):
    """
    Carries requests to one server.

    Both methods raise NotSent when nothing was sent, Unreachable when it is not known whether
    the server got the request, each with a message for people.
    """

    async def post(self, path: str, body: bytes, *, timeout_s: float) -> HttpAnswer:
        """Send a body and wait for the answer."""
        ...

    async def get(self, path: str, *, timeout_s: float) -> HttpAnswer:
        """Fetch a public page."""
        ...

    async def close(self) -> None:
        """Close all connections; idempotent."""
        ...
