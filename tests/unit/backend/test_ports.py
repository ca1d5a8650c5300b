from __future__ import annotations

from commander.backend.ports import NobodyOnline


def test_server_without_a_router_has_nobody_online() -> None:
    """So that listings work by themselves."""
    assert NobodyOnline().online("A" * 22) is None
