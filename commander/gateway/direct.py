"""The gateway's side of direct paths: what its owner allows, and how often it calls."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from commander.authority.refusals import Code
from commander.clock import Clock
from commander.errors import InvalidInput, Refused
from commander.gateway.limits import CALLS_BURST, CALLS_PER_S, Bucket
from commander.tunnel.path import Binding, Path
from commander.tunnel.transports import direct
from commander.tunnel.transports.direct_reception import Reception, open_port


@dataclass(frozen=True)
class DirectOptions:
    """
    What the owner chose: whether direct paths are opened, and where clients may connect.

    Without a `listen` address the gateway only connects out. `advertise` is where clients find
    the port; an empty host stands for the address itself, port 0 for the port itself.
    """

    is_allowed: bool = True
    listen: tuple[str, int] | None = None
    advertise: tuple[str, int] = ("", 0)


class DirectDoor:
    """
    All direct paths of one gateway; make it in the event loop, `close` it at the end.

    `calls` counts connections opened towards clients, and those that the rate forbade.
    """

    def __init__(self, options: DirectOptions, clock: Clock) -> None:
        self.is_allowed = options.is_allowed
        self._clock = clock
        self.calls: Counter[str] = Counter()
        self._bucket = Bucket(CALLS_PER_S, CALLS_BURST, CALLS_BURST, clock.monotonic())
        self.reception: Reception | None = None
        self._advertised = ("", 0)
        if options.listen is not None:
            self.reception = Reception(open_port(*options.listen))
            host, port = options.advertise
            self._advertised = (host or options.listen[0], port or self.reception.port)

    def prepare(self, offer: bytes) -> DirectPlan:
        """Get the carriers of one offer ready. Raises Refused(offer-broken)."""
        try:
            attempt = direct.answer(
                offer,
                reception=self.reception,
                advertised=self._advertised,
                permit=self.may_call,
            )
        except InvalidInput as error:
            raise Refused(
                f"the direct offer can't be answered: {error.message}", code=Code.OFFER_BROKEN
            ) from None
        return DirectPlan(attempt)

    def close(self) -> None:
        """Close the port; paths that came up stay."""
        if self.reception is not None:
            self.reception.close()

    def may_call(self) -> bool:
        """Take one call of the rate; fits `direct.Permit`."""
        may = self._bucket.take(self._clock.monotonic())
        self.calls["made" if may else "over-the-rate"] += 1
        return may


class DirectPlan:
    """Fits `paths.PathPlan`."""

    def __init__(self, attempt: direct.DirectAttempt) -> None:
        self._attempt = attempt
        self.answer = attempt.wire

    async def make(self, carrier: int) -> tuple[Path, Binding]:
        """Wait for one carrier, or call for it. Raises Unreachable."""
        return await self._attempt.path(carrier), Binding()

    async def close(self) -> None:
        """Give up what is not there yet."""
        await self._attempt.close()
