"""What anyone may ask."""

from __future__ import annotations

import msgspec
import pytest

from commander.api.bootstrap import learn_server
from commander.api.http import HttpTransport
from commander.api.tls import unverified_context
from commander.backend.tls import load_authority
from commander.errors import Tampered
from commander.ksm.errors import BUILT_IN_KEY_IDS
from commander.wire.calls import HEALTH_PATH, INFO_PATH, ServerInfo
from commander.wire.proofs import verify_server_info
from tests.support.backend_server import BackendServer

pytestmark = pytest.mark.integration


async def test_server_describes_itself_and_signs_it(server: BackendServer) -> None:
    """With a Secrets Manager key that no SDK takes for one of its own."""
    transport = server.transport()
    found = await transport.get(INFO_PATH, timeout_s=30)
    await transport.close()
    info = msgspec.json.decode(found.body, type=ServerInfo)

    verify_server_info(info)
    assert info.server == server.known.server
    assert not info.has_enterprise
    assert info.ksm_key_id not in BUILT_IN_KEY_IDS


async def test_client_learns_the_server_by_the_fingerprint_of_a_join_string(
    server: BackendServer,
) -> None:
    """And refuses it for another fingerprint."""
    directory = server.core.database.path.parent
    fingerprint = load_authority(directory, now=server.clock.now()).fingerprint

    known, _ = await learn_server(server.known.address, HttpTransport, fingerprint=fingerprint)
    with pytest.raises(Tampered):
        await learn_server(server.known.address, HttpTransport, fingerprint=bytes(32))

    assert known == server.known


async def test_health_tells_whether_the_store_can_be_read(server: BackendServer) -> None:
    """And nothing of what is in it."""
    transport = HttpTransport(server.known.address, unverified_context())
    server.clock.advance(5)

    found = await transport.get(HEALTH_PATH, timeout_s=30)
    await transport.close()

    assert msgspec.json.decode(found.body) == {"status": "ok", "uptime": 5}
