from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from commander.audit.chain import ChainWriter, Entry
from commander.audit.events import Event, LogHeadChanged
from commander.config.paths import Paths
from commander.ksm.config import GatewayConfig
from commander.plugin.results import Document
from plugins.pam.gateway import plugin as gateways
from tests.support.command_world import World


@dataclass
class Audited:
    """A world whose server and gateway Berlin write audit events."""

    world: World
    gateway: str
    server_chain: ChainWriter
    gateway_chain: ChainWriter

    def write(self, writer: ChainWriter, event: Event | None = None) -> Entry:
        """One event of a producer, stored by the server."""
        entry = writer.seal(
            event or LogHeadChanged(1, b"", 0, 0), time_ms=int(self.world.clock.now() * 1000)
        )
        self.world.server.audit.append(entry.to_bytes())
        return entry


@pytest.fixture
async def audited(world: World, tmp_path: Path) -> Audited:
    """Two producers, nothing written yet, and a home directory for pins."""
    world.context.paths = Paths(home=tmp_path / "home", runtime=tmp_path / "run")
    await world.vault.applications.create("Infra")
    made = await world.run(gateways, "pam gateway new -n Berlin -a Infra -c b64")
    assert isinstance(made, Document)
    identity = GatewayConfig.parse(made.text).identity
    server = world.server
    return Audited(
        world,
        identity.gateway,
        ChainWriter(server.audit_server, server.audit_key),
        ChainWriter(identity.gateway, identity.signing_key),
    )
