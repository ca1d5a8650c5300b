from __future__ import annotations

from commander.clock import ManualClock
from commander.plugin.testing import FakeContext
from plugins.pam.tunnel.request import followed_position, position_of
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
