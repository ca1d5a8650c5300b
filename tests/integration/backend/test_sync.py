"""What a sync shows, to whom, from when, and in which pages."""

from __future__ import annotations

import pytest

from commander.authority.refusals import Code
from commander.authority.statements import Right
from commander.backend import limits
from commander.backend.services import sync as service
from commander.wire import calls
from commander.wire.pam import ResourceSettings
from commander.wire.records import RecordData
from commander.wire.seals import read_grant_seal, read_record_seal
from tests.support.backend_server import BackendServer, Person, refused

pytestmark = pytest.mark.integration


async def page(person: Person, cursor: int = 0) -> calls.SyncAnswer:
    return await person.call(calls.SYNC, calls.SyncRequest(cursor))


async def records(person: Person, cursor: int = 0) -> set[str]:
    return {read_record_seal(found.seal).record for found in (await page(person, cursor)).records}


async def test_share_shows_old_objects_to_a_member_whose_cursor_is_newer(
    server: BackendServer, admin: Person
) -> None:
    """Records, settings, names and keys written long before come with the share."""
    bob = await server.add_person(admin, "bob@example.org")
    await admin.vault.sync()
    folder = await admin.vault.create_shared_folder("F")
    record = await admin.vault.create_record(
        RecordData.create("pamMachine", "x"), folder.uid, settings=ResourceSettings()
    )
    before = (await page(bob)).cursor
    await admin.vault.sharing.share_with_user(folder.uid, bob.user, (Right.VIEW,))

    found = await page(bob, before)

    assert [read_record_seal(r.seal).record for r in found.records] == [record.uid]
    assert len(found.settings) == len(found.folders) == 1
    assert [read_grant_seal(g.seal).object for g in found.grants] == [folder.uid]
    await bob.vault.sync()
    assert bob.vault.get_record(record.uid).data.title == "x"
    assert not bob.vault.problems


async def test_nothing_of_other_folders_is_shown_nor_after_a_share_ended(
    server: BackendServer, admin: Person
) -> None:
    """Visible is what `decide` allows now, by revocation and by time."""
    bob = await server.add_person(admin, "bob@example.org")
    await admin.vault.sync()
    private = await admin.vault.create_record(RecordData.create("login", "private"))
    folder = await admin.vault.create_shared_folder("F")
    record = await admin.vault.create_record(RecordData.create("login", "x"), folder.uid)
    ends = int(server.clock.now()) + 600
    share = admin.vault.sharing.share_with_user
    await share(folder.uid, bob.user, (Right.VIEW,), not_after=ends)
    assert await records(bob) == {record.uid}

    server.clock.advance(601)

    assert await records(bob) == set()
    await share(folder.uid, bob.user, (Right.VIEW,))
    assert await records(bob) == {record.uid}
    await admin.vault.sharing.unshare(folder.uid, bob.user)
    assert await records(bob) == set()
    assert await records(admin) >= {private.uid, record.uid}


async def test_share_that_begins_later_shows_its_folder_then(
    server: BackendServer, admin: Person
) -> None:
    """Without any new statement, and for a cursor that is newer than all of it."""
    bob = await server.add_person(admin, "bob@example.org")
    await admin.vault.sync()
    folder = await admin.vault.create_shared_folder("F")
    record = await admin.vault.create_record(RecordData.create("login", "x"), folder.uid)
    begins = int(server.clock.now()) + 600
    await admin.vault.sharing.share_with_user(
        folder.uid, bob.user, (Right.VIEW,), not_before=begins
    )
    first = await page(bob)
    assert not first.records
    server.clock.advance(601)

    second = await page(bob, first.cursor)
    third = await page(bob, second.cursor)

    assert [read_record_seal(r.seal).record for r in second.records] == [record.uid]
    assert len(second.grants) == 1
    assert not third.records


async def test_pages_lead_through_everything_once(
    server: BackendServer, admin: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut by count or by size, the pages together are the whole, in order, without repeats."""
    made = {
        (await admin.vault.create_record(RecordData.create("login", str(n)))).uid for n in range(12)
    }
    for count, size in ((5, limits.ANSWER_BYTES), (1000, 3000), (1, 1)):
        monkeypatch.setattr(service, "PAGE_CHANGES", count)
        monkeypatch.setattr(service, "ANSWER_BYTES", size)
        seen: list[str] = []
        cursor, more, pages = 0, True, 0
        while more:
            found = await page(admin, cursor)
            assert found.cursor > cursor
            seen += [read_record_seal(r.seal).record for r in found.records]
            cursor, more, pages = found.cursor, found.more, pages + 1
        assert sorted(seen) == sorted(made)
        assert pages > 2


async def test_cursor_from_the_future_begins_anew_and_a_negative_one_is_refused(
    server: BackendServer, admin: Person
) -> None:
    """After a restore a client gets everything again rather than nothing for ever."""
    record = await admin.vault.create_record(RecordData.create("login", "x"))

    assert await records(admin, 2**40) == {record.uid}
    with refused(Code.REQUEST_MALFORMED):
        await page(admin, -1)
    assert not (await page(admin, (await page(admin)).cursor)).records


async def test_application_comes_with_its_folder_keys_when_they_change(
    server: BackendServer, admin: Person
) -> None:
    """To its owner only."""
    bob = await server.add_person(admin, "bob@example.org")
    await admin.vault.sync()
    made = await admin.vault.applications.create("A")
    cursor = (await page(admin)).cursor
    folder = await admin.vault.create_shared_folder("F")
    await admin.vault.applications.share_folder(made.uid, folder.uid)

    (row,) = (await page(admin, cursor)).applications

    assert [key.folder for key in row.folder_keys] == [folder.uid]
    assert not (await page(bob)).applications
