"""The backend's answers in the router's words."""

from __future__ import annotations

from pathlib import Path

import pytest

from commander.authority.refusals import Code
from commander.backend.gatekeeper import Gatekeeper
from commander.launch.server_router import RouterGate
from commander.router.ports import Principal
from commander.wire.calls import ROUTER_PATH
from commander.wire.requests import sign_request
from tests.support.backend_server import running

pytestmark = pytest.mark.integration


async def test_principal_goes_to_the_router_and_comes_back_whole(tmp_path: Path) -> None:
    """Session and owner survive the way through the router, so that revocation finds them."""
    tmp_path.chmod(0o700)
    async with running(tmp_path) as server:
        admin = await server.set_up()
        gate = RouterGate(Gatekeeper(server.core))
        request = sign_request(
            admin.device.signing_key(), method="GET", path=ROUTER_PATH,
            principal=admin.device.device, session=admin.session,
            time=int(server.clock.now()), body=b"",
        )  # fmt: skip
        found = await gate.authenticate(request, method="GET", path=ROUTER_PATH, address="x")
        unknown = Principal("A" * 22, "gateway", "B" * 22)

        revoked = await gate.revoked([found, unknown])

    assert (found.uid, found.kind, found.owner) == (admin.device.device, "device", admin.user)
    assert found.session
    assert [(principal, refusal.code) for principal, refusal in revoked] == [
        (unknown, Code.DEVICE_REVOKED)
    ]
