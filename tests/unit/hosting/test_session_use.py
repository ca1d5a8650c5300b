from __future__ import annotations

import asyncio

from commander.api.client import Api, Caller
from commander.api.transport import HttpAnswer
from commander.crypto.signing import SigningKey
from commander.hosting.session_use import EVERY_S, SessionUse
from tests.attack.virtual_loop import LoopClock, VirtualLoop, run_virtually
from tests.support.kept_tunnels import SERVER, NoTransport

RESUME_S, SESSION_IDLE_S = 600, 30 * 60


class CountingTransport(NoTransport):
    """No call gets through; each is noted."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.calls: list[float] = []
        self._loop = loop

    async def post(self, path: str, body: bytes, *, timeout_s: float) -> HttpAnswer:
        self.calls.append(self._loop.time())
        return await super().post(path, body, timeout_s=timeout_s)


def test_a_session_is_used_for_as_long_as_tunnels_are_open() -> None:
    """Also when the server is away for a while; without a session nothing is asked."""

    async def work(loop: VirtualLoop) -> None:
        transport = CountingTransport(loop)
        caller = Caller("device", "session", SigningKey(bytes(32)))
        api: Api | None = Api(transport, SERVER, clock=LoopClock(loop), caller=caller)
        use = SessionUse(lambda: api)
        use.start()
        use.start()
        await asyncio.sleep(3600)
        asked = {round(at) // 60 for at in transport.calls}
        assert len(asked) >= 5

        api = None
        before = len(transport.calls)
        await asyncio.sleep(3600)
        assert len(transport.calls) == before
        await use.close()
        await use.close()

    run_virtually(work)


def test_a_tunnel_that_waits_for_a_path_still_has_its_session() -> None:
    """The last use, and ten minutes without any network, are less than what the server waits."""
    assert EVERY_S + RESUME_S < SESSION_IDLE_S
