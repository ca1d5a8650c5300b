"""What the router needs from the backend; the backend fits these by shape, `launch` joins them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from commander.authority.decide import Refuse
from commander.wire.commands import Head
from commander.wire.requests import SignedRequest


@dataclass(frozen=True)
class Principal:
    """
    Who holds a socket, as the gatekeeper established it.

    `owner` is the user of a device or the application of a gateway; `session` is empty for
    a gateway.
    """

    uid: str
    kind: Literal["device", "gateway"]
    owner: str
    session: str = ""


class Gatekeeper(Protocol):
    """
    Every question of right that the router asks. The router itself decides none.

    All methods may be called concurrently and often; none may wait on a peer of the router.
    """

    async def authenticate(
        self, request: SignedRequest, *, method: str, path: str, address: str
    ) -> Principal:
        """
        Establish who asks for an upgrade, or raise Refused with a code of the published table.

        Checks everything that a request is checked for: certified and not revoked principal,
        signature over method, path, empty query and empty body, freshness, nonce not used
        before, session (devices).
        """
        ...

    async def may_open(self, device: str, gateway: str) -> Refuse | None:
        """
        Say early what the gateway will decide anyway: may this device talk to this gateway?

        None when nothing visible speaks against it: the gateway is certified, the user has
        ALLOW_LAUNCH_PAM_TUNNELS and access to a folder that the gateway's application has.
        Codes about the caller (policy, device, user) are passed on to it; for an unknown and
        for a foreign gateway alike the caller is told peer-unknown.
        """
        ...

    async def revoked(self, principals: Sequence[Principal]) -> Sequence[tuple[Principal, Refuse]]:
        """
        Those of the principals that may not be connected any more, and why: revoked, or logged out.

        Asked for all sockets at each new head and in a slow round, and for a device with each of
        its messages.
        """
        ...

    def head(self) -> Head:
        """Where the authority log is now."""
        ...

    def subscribe(self, moved: Callable[[Head], None]) -> Callable[[], None]:
        """
        Have `moved` called in the event loop after each commit that moved the head.

        Returns what ends the subscription. `moved` returns at once and never raises.
        """
        ...


class Journal(Protocol):
    """Where the router reports what belongs into the server's audit log; must not raise."""

    async def connection_fenced(self, principal: Principal, *, old: str, new: str) -> None:
        """A second process connected with this identity; `old` and `new` are addresses."""
        ...

    async def command_refused(
        self, principal: Principal, *, to: str, conversation: str, refusal: Refuse
    ) -> None:
        """A message to a gateway was not passed on since the sender may not address it."""
        ...


@dataclass(frozen=True)
class Online:
    """A gateway that is connected now, for listings."""

    gateway: str
    version: str
    address: str
    since: int


class Presence(Protocol):
    """What the router offers to listings; `router.registry.Registry` is one."""

    def online(self, gateway: str) -> Online | None:
        """The connection of a gateway, or None."""
        ...
