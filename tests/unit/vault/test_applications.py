from __future__ import annotations

import pytest

from commander.clock import ManualClock
from commander.errors import InvalidInput, Refused
from commander.vault.session import Vault
from tests.support.memory_server import MemoryServer
from tests.support.vaults import first_vault


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def server(clock: ManualClock) -> MemoryServer:
    return MemoryServer(clock)


@pytest.fixture
async def ann(server: MemoryServer, clock: ManualClock) -> Vault:
    return await first_vault(server, clock)


@pytest.mark.parametrize("minutes", [0, -1, 1441])
async def test_token_life_is_bounded(ann: Vault, minutes: int) -> None:
    """One minute to a day."""
    application = await ann.applications.create("App")

    with pytest.raises(InvalidInput):
        await ann.applications.add_gateway(application.uid, "gw", minutes=minutes)


@pytest.mark.parametrize("title", ["", " x", "a\nb", "x" * 129])
async def test_odd_names_of_applications_are_refused(ann: Vault, title: str) -> None:
    """Names are printable, and as they look."""
    with pytest.raises(InvalidInput):
        await ann.applications.create(title)


async def test_removed_application_is_gone(ann: Vault) -> None:
    """With its key nothing more can be done."""
    application = await ann.applications.create("App")
    await ann.applications.remove(application.uid)

    assert ann.applications.all() == []
    with pytest.raises(Refused):
        await ann.applications.add_gateway(application.uid, "gw")


async def test_gateways_are_none_before_one_enrols(ann: Vault) -> None:
    """A token alone is no gateway."""
    application = await ann.applications.create("App")
    await ann.applications.add_gateway(application.uid, "gw")

    assert await ann.applications.gateways() == []
