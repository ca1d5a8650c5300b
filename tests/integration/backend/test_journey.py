"""What an honest client does against a real server, from set-up to a second device."""

from __future__ import annotations

import pytest

from commander.wire.records import RecordData
from tests.support.backend_server import BackendServer, Person

pytestmark = pytest.mark.integration


async def test_first_administrator_writes_and_reads_back(
    server: BackendServer, admin: Person
) -> None:
    """A record written by one session is there for another of the same device."""
    vault = admin.vault
    assert vault.view.root
    again = await server.person(admin.account, admin.device, admin.session, admin.expires).open()
    assert again.vault.state.head == vault.state.head
    assert again.vault.view.root == vault.view.root


async def test_invited_person_joins(server: BackendServer, admin: Person) -> None:
    """An invitation makes a second account that sees the log and its own personal folder."""
    bob = await server.add_person(admin, "bob@example.org")

    assert bob.vault.view.root != admin.vault.view.root
    assert bob.vault.state.user_by_email("bob@example.org") is not None
    assert not bob.vault.problems
    assert RecordData.create("login", "x").title == "x"
