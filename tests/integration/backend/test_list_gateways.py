"""Which gateways are listed for whom."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from commander.authority.statements import Right
from commander.wire import calls
from tests.support.backend_devices import Application, new_gateway
from tests.support.backend_server import BackendServer, Person

pytestmark = pytest.mark.integration


@dataclass(frozen=True)
class Seen:
    """A connection as a router reports it."""

    version: str = "9.9"
    address: str = "192.0.2.9"
    since: int = 7


class Presence:
    """A router to which one gateway is connected."""

    def __init__(self, gateway: str) -> None:
        self._gateway = gateway

    def online(self, gateway: str) -> Seen | None:
        return Seen() if gateway == self._gateway else None


async def listed(person: Person) -> tuple[calls.GatewayRow, ...]:
    return (await person.call(calls.GATEWAYS, calls.Empty())).gateways


async def test_gateways_are_listed_to_those_who_share_a_folder_with_them(
    server: BackendServer, application: Application
) -> None:
    """With their connection; to others they do not exist."""
    owner = application.owner
    bob = await server.add_person(owner, "bob@example.org")
    await owner.vault.sync()
    first = await new_gateway(server, application)
    second = await new_gateway(server, application)
    for candidate in (first, second):
        await candidate.enrol()
    server.core.presence = Presence(first.keys.gateway)

    assert await listed(bob) == ()
    await owner.vault.sync()
    await owner.vault.sharing.share_with_user(application.folder, bob.user, (Right.VIEW,))

    rows = {row.gateway: row for row in await listed(bob)}
    assert rows[first.keys.gateway] == calls.GatewayRow(
        first.keys.gateway, True, "9.9", "192.0.2.9", 7
    )
    assert rows[second.keys.gateway] == calls.GatewayRow(second.keys.gateway, False, "", "", 0)
    assert len(await listed(owner)) == 2
