"""HTTP against the real server program: certificates, and a server that is gone."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
import trustme

from commander.api.bootstrap import connector, learn_server, open_transport
from commander.api.client import Api
from commander.api.websocket import open_router
from commander.clock import SystemClock
from commander.errors import Unreachable
from commander.wire import calls
from tests.integration.api.conftest import Ann

pytestmark = pytest.mark.integration

DEADLINE_S = 30.0
CLOCK = SystemClock()


async def test_server_with_another_certificate_is_not_talked_to(ann: Ann) -> None:
    """A CA that did not issue the server's certificate: nothing is sent, the reason is told."""
    other = trustme.CA().cert_pem.bytes().decode()
    known = msgspec.structs.replace(ann.api.server, ca=other)
    api = Api(open_transport(known, {}), known, clock=CLOCK, caller=ann.api.caller)

    with pytest.raises(Unreachable, match="certificate"):
        await api.call(calls.COMMIT, calls.Commit())
    with pytest.raises(Unreachable):
        await open_router(api, {})
    with pytest.raises(Unreachable, match="certificate"):
        await learn_server(known.address, connector({}), ca=other)
    await api.close()


async def test_server_that_is_gone_is_unreachable(ann: Ann) -> None:
    """Code 6 for HTTP and WebSocket, and the socket's own failure is what is raised."""
    server = ann.product.server
    assert server is not None
    await asyncio.to_thread(server.stop)

    with pytest.raises(Unreachable, match="cannot be reached"):
        await ann.api.call(calls.COMMIT, calls.Commit())
