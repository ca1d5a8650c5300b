"""How long a credential is good for, at a real relay on loopback."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import aioice.stun
import aioice.turn
import pytest

from commander.backend.turn import CREDENTIAL_LIFE_S
from commander.tunnel.transports.webrtc_agent import GuardedTurn
from commander.tunnel.transports.webrtc_guards import install_guards
from commander.wire.calls import IceServerRow
from tests.support.servers.coturn import Coturn, TurnPorts
from tests.support.tunnels import eventually
from tests.support.waiting import free_port

pytestmark = pytest.mark.integration
PEER = ("127.0.0.1", 4000)


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Coturn]:
    install_guards()
    ports = TurnPorts(free_port(), free_port())
    with Coturn(tmp_path_factory.mktemp("relay"), "127.0.0.1", ports=ports) as relay:
        yield relay


def credential(relay: Coturn, *, lasts_s: int) -> tuple[IceServerRow, int]:
    now = int(time.time()) + lasts_s - CREDENTIAL_LIFE_S
    answer = relay.relays("udp", stun=False).answer(now=now)
    return answer.servers[0], answer.expires


async def allocate(relay: Coturn, row: IceServerRow) -> GuardedTurn:
    address = (relay.address, relay.ports.plain)
    transport, _ = await aioice.turn.create_turn_endpoint(
        asyncio.DatagramProtocol, address, row.username, row.password
    )
    assert isinstance(transport, GuardedTurn)
    return transport


async def test_a_relay_that_is_up_outlives_its_credential(relay: Coturn) -> None:
    """Ten minutes bound when a relay may begin, not how long a tunnel may last (B126)."""
    row, expires = credential(relay, lasts_s=2)
    transport = await allocate(relay, row)
    # coturn looks at its clock about once a second.
    await eventually(lambda: time.time() > expires + 3, "the credential has expired")

    refresh = aioice.stun.Message(aioice.stun.Method.REFRESH, aioice.stun.Class.REQUEST)
    refresh.attributes["LIFETIME"] = 600
    response, _ = await transport._inner.request_with_retry(refresh)
    await transport._inner.channel_bind(0x4000, PEER)

    assert response.attributes["LIFETIME"] == 600
    with pytest.raises(aioice.stun.TransactionFailed, match="401"):
        await allocate(relay, row)
    transport.close()


async def test_a_user_name_made_to_last_longer_is_refused(relay: Coturn) -> None:
    """The password is of this expiry; whoever writes another one has no password for it."""
    row, expires = credential(relay, lasts_s=60)
    longer = IceServerRow(
        row.url, row.username.replace(str(expires), str(expires + 9999)), row.password
    )

    with pytest.raises(aioice.stun.TransactionFailed, match="401"):
        await allocate(relay, longer)
    (await allocate(relay, row)).close()
