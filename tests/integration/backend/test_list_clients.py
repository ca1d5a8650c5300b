"""Clients of an application, for its owner."""

from __future__ import annotations

import pytest

from commander.authority.refusals import Code
from commander.ids import new_uid
from commander.vault.people import RoleChange
from commander.wire import calls
from tests.support.backend_devices import Application
from tests.support.backend_server import BackendServer, Person, refused

pytestmark = pytest.mark.integration


@pytest.fixture
async def bob(server: BackendServer, application: Application) -> Person:
    """Another user with every policy."""
    admin = application.owner
    found = await server.add_person(admin, "bob@example.org")
    await admin.vault.sync()
    role = admin.vault.people.roles()[0]
    await admin.vault.people.change_role(role.role, RoleChange(add_users=(found.user,)))
    await found.vault.sync()
    return found


async def test_clients_are_listed_to_the_owner_only(
    server: BackendServer, application: Application, bob: Person
) -> None:
    """To others an application of somebody else is one that does not exist."""
    request = calls.ClientsRequest(application.uid)
    with refused(Code.OBJECT_UNKNOWN):
        await bob.call(calls.CLIENTS, request)
    with refused(Code.OBJECT_UNKNOWN):
        await bob.call(calls.CLIENTS, calls.ClientsRequest(new_uid()))

    assert (await application.owner.call(calls.CLIENTS, request)).clients == ()
