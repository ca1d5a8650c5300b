from __future__ import annotations

from typing import Protocol, TypeVar

from commander.codec import Message
from commander.wire.calls import Call

_Q = TypeVar("_Q", bound=Message)
_A = TypeVar("_A", bound=Message)


class Remote(Protocol):
    """What the vault needs of a server; `api.client.Api` fits it by shape."""

    async def call(self, call: Call[_Q, _A], request: _Q) -> _A:
        """
        Make one call. Raises Conflict (log-moved, revision-conflict ...) when the server refuses
        because something changed meanwhile, Unreachable when the outcome may be unknown.
        """
        ...
