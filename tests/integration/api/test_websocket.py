"""Signed upgrades against the real server program: refusals, proxies, the environment."""

from __future__ import annotations

import os

import pytest

from commander.api.bootstrap import open_transport
from commander.api.client import Api, Caller
from commander.api.websocket import open_relay, open_router
from commander.clock import SystemClock
from commander.errors import CommanderError, Unreachable
from commander.ids import new_uid
from commander.vault.unlock import resume_login
from commander.wire import calls
from tests.integration.api.conftest import Ann, context_of
from tests.support.servers.http_proxy import HttpProxy

pytestmark = pytest.mark.integration

DEADLINE_S = 30.0
CLOCK = SystemClock()


async def test_relay_of_an_unknown_conversation_is_refused(ann: Ann) -> None:
    """Nobody was introduced in it."""
    with pytest.raises(CommanderError):
        await open_relay(ann.api, {}, new_uid())


async def test_everything_goes_through_the_proxy(ann: Ann) -> None:
    """HTTP and WebSocket use CONNECT; a NO_PROXY entry keeps them from it."""
    async with HttpProxy() as proxy:
        environment = {"HTTPS_PROXY": proxy.url}
        login = resume_login(context_of(ann.user.home).paths, CLOCK)
        caller = Caller(login.device.device, login.session, login.device.signing_key())
        transport = open_transport(ann.api.server, environment)
        api = Api(transport, ann.api.server, clock=CLOCK, caller=caller)
        await api.call(calls.SESSION, calls.Empty())
        websocket = await open_router(api, environment)
        await websocket.close()
        await api.close()

    transport = open_transport(ann.api.server, environment)
    with pytest.raises(Unreachable, match="proxy"):
        await transport.get(calls.INFO_PATH, timeout_s=5)
    await transport.close()
    with pytest.raises(Unreachable):
        await open_router(ann.api, environment)
    direct = environment | {"NO_PROXY": "127.0.0.1"}
    websocket = await open_router(ann.api, direct)
    await websocket.close()


async def test_environment_of_this_process_is_not_read(
    ann: Ann, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the environment that is passed in counts, for HTTP and WebSocket alike."""
    monkeypatch.setitem(os.environ, "HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.setitem(os.environ, "ALL_PROXY", "http://127.0.0.1:1")

    await ann.api.call(calls.SESSION, calls.Empty())
    websocket = await open_router(ann.api, {})
    await websocket.close()
