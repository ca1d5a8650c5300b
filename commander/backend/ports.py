"""What the backend needs from others; they fit it by shape, `launch` joins them."""

from __future__ import annotations

from typing import Protocol


class Online(Protocol):
    """A connected gateway."""

    @property
    def version(self) -> str:
        """What it runs."""
        ...

    @property
    def address(self) -> str:
        """Where it connected from."""
        ...

    @property
    def since(self) -> int:
        """When it connected, in seconds since 1970."""
        ...


class Presence(Protocol):
    """Who is connected to the router."""

    def online(self, gateway: str) -> Online | None:
        """The connection of a gateway, or None."""
        ...


class NobodyOnline:
    """A server without a router."""

    def online(self, gateway: str) -> Online | None:
        """None."""
        return None
