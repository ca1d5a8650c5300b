from __future__ import annotations

import pytest

from commander.clock import ManualClock
from commander.errors import UsageError
from commander.plugin.testing import FakeContext
from commander.wire.records import RecordData
from plugins.pam.tunnel.request import Wanted, followed_position, plan_tunnel, position_of
from tests.support.memory_server import MemoryServer
from tests.support.vaults import first_vault


async def test_a_locked_vault_leaves_its_last_position() -> None:
    """Tunnels ask for paths while the vault is forgotten; unlocked, they follow it again."""
    clock = ManualClock()
    vault = await first_vault(MemoryServer(clock), clock)
    context = FakeContext(open_vault=vault)
    position = followed_position(context)
    begun = position()
    assert begun == position_of(vault)

    await vault.create_shared_folder("Infra")
    moved = position()
    context.open_vault = None

    assert moved.seq > begun.seq
    assert position() == moved


@pytest.mark.parametrize("kind", ["pamUser", "pamNetworkConfiguration", "login"])
async def test_a_record_without_a_target_says_what_it_is(kind: str) -> None:
    """Told to enable tunneling, its owner would be refused there."""
    clock = ManualClock()
    vault = await first_vault(MemoryServer(clock), clock)
    await vault.create_record(RecordData({"title": "Orders login", "type": kind, "fields": []}))

    with pytest.raises(UsageError, match=f"is a {kind}, not a resource"):
        plan_tunnel(vault, Wanted("Orders login"))
