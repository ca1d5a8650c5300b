"""Sessions end by themselves, by logout, and with what they stand on."""

from __future__ import annotations

import asyncio

import pytest

from commander.authority.refusals import Code
from commander.backend.storage import changes
from commander.ids import FolderUid, RecordUid, new_uid
from commander.vault.state import Place
from commander.wire import calls
from commander.wire.records import RecordData
from tests.support.backend_server import BackendServer, Person, refused

pytestmark = pytest.mark.integration

MINUTE = 60


async def alive(person: Person) -> calls.SessionState:
    return await person.call(calls.SESSION, calls.Empty())


async def test_session_ends_after_half_an_hour_without_a_request(
    server: BackendServer, admin: Person
) -> None:
    """Requests keep it alive; silence ends it."""
    for _ in range(3):
        server.clock.advance(29 * MINUTE)
        assert (await alive(admin)).idle_s == 30 * MINUTE
    server.clock.advance(31 * MINUTE)

    with refused(Code.SESSION_EXPIRED):
        await alive(admin)


async def test_session_ends_after_twelve_hours_whatever_happens(
    server: BackendServer, admin: Person
) -> None:
    """No number of requests prolongs it."""
    for _ in range(28):
        server.clock.advance(25 * MINUTE)
        await alive(admin)
    server.clock.advance(21 * MINUTE)

    with refused(Code.SESSION_EXPIRED):
        await alive(admin)


async def test_nothing_succeeds_after_a_logout_was_answered(
    server: BackendServer, admin: Person
) -> None:
    """Neither a new request nor a write that was under way."""
    folder = await admin.vault.create_shared_folder("F")
    data = RecordData.create("login", "x")
    draft = admin.draft()

    draft.put_record(RecordUid(new_uid()), data, Place(FolderUid(folder.uid), ""))
    writes = [asyncio.ensure_future(admin.call(calls.COMMIT, draft.commit())) for _ in range(5)]

    await admin.call(calls.LOGOUT, calls.Empty())
    cursor = await _cursor(server)
    await asyncio.gather(*writes, return_exceptions=True)

    with refused(Code.SESSION_UNKNOWN):
        await alive(admin)
    with refused(Code.SESSION_UNKNOWN):
        await admin.call(calls.COMMIT, draft.commit())
    assert await _cursor(server) == cursor


async def _cursor(server: BackendServer) -> int:

    async with server.core.database.reading() as connection:
        return await changes.cursor(connection)


async def test_revoked_device_and_removed_user_lose_their_sessions_at_once(
    server: BackendServer, admin: Person
) -> None:
    """The next request tells which of the two it was."""
    bob = await server.add_person(admin, "bob@example.org")
    eve = await server.add_person(admin, "eve@example.org")
    await alive(bob)
    await admin.vault.sync()
    await admin.vault.people.remove_device(bob.device.device)
    await admin.vault.people.remove_user(eve.user)

    with refused(Code.DEVICE_REVOKED):
        await alive(bob)
    with refused(Code.USER_REVOKED):
        await alive(eve)
    assert (await alive(admin)).user == admin.user
