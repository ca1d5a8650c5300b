"""The client's side of direct paths: a port for each offer."""

from __future__ import annotations

from commander.errors import InvalidInput, Refused, Unreachable
from commander.hosting.conversation import Accepted
from commander.tunnel.path import Binding, Path
from commander.tunnel.transports import direct


class DirectKind:
    """The direct paths of one attempt; its port is open from the start, for ten seconds at most."""

    def __init__(self) -> None:
        self._offering = direct.offer()
        self.offer = self._offering.wire

    async def make(self, accepted: Accepted, carrier: int) -> tuple[Path, Binding]:
        """Wait for the gateway to connect, or connect where it listens. Raises Unreachable, Refused."""
        if not accepted.answer.direct:
            raise Refused(
                "the gateway opens no direct path",
                code="path-forbidden",
                hint="use --path auto or relay",
            )
        try:
            self._offering.answered(accepted.answer.direct)
        except InvalidInput as error:
            raise Unreachable(
                f"the gateway's direct answer can't be read: {error.message}"
            ) from None
        return await self._offering.path(carrier), Binding()

    async def close(self) -> None:
        """Close the port; carriers that came up stay."""
        await self._offering.close()
