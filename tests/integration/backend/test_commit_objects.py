"""Records, settings and folders of a commit: right, seal, revision, each refusal with its code."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from commander.authority.refusals import Code
from commander.authority.statements import Right
from commander.crypto.kdf import sha256
from commander.ids import FolderUid, RecordUid, new_uid
from commander.vault.draft import Draft
from commander.vault.state import Place
from commander.wire import calls
from commander.wire.pam import ResourceSettings
from commander.wire.records import RecordData
from commander.wire.seals import (
    FolderVersion,
    RecordVersion,
    SettingsVersion,
    read_folder_seal,
    read_record_seal,
    read_settings_seal,
    sign_seal,
)
from tests.support.backend_server import BackendServer, Person, changed, refused

pytestmark = pytest.mark.integration


@dataclasses.dataclass
class Shared:
    """A folder that `admin` shares with `bob` to view."""

    admin: Person
    bob: Person
    folder: FolderUid
    record: RecordUid

    def draft(self, person: Person, uid: str = "", folder: str = "") -> Draft:
        """A change of the record."""
        draft = person.draft()
        place = Place(FolderUid(folder or self.folder), "")
        draft.put_record(RecordUid(uid or self.record), RecordData.create("login", "y"), place)
        return draft


@pytest.fixture
async def shared(server: BackendServer, admin: Person) -> Shared:
    bob = await server.add_person(admin, "bob@example.org")
    await admin.vault.sync()
    folder = await admin.vault.create_shared_folder("F")
    record = await admin.vault.create_record(RecordData.create("login", "x"), folder.uid)
    await admin.vault.sharing.share_with_user(folder.uid, bob.user, (Right.VIEW,))
    await bob.vault.sync()
    return Shared(admin, bob, folder.uid, record.uid)


def resealed(person: Person, version: Any, **values: Any) -> Any:
    """A version with another seal, signed by the person's device."""
    readers: dict[Any, Any] = {
        RecordVersion: read_record_seal,
        SettingsVersion: read_settings_seal,
        FolderVersion: read_folder_seal,
    }
    seal = changed(readers[type(version)](version.seal), **values)
    return changed(version, seal=sign_seal(seal, person.device.signing_key()))


async def put(person: Person, record: RecordVersion) -> None:
    await person.call(calls.COMMIT, calls.Commit(records=(record,)))


async def test_viewer_cannot_write_and_stranger_learns_nothing(
    server: BackendServer, shared: Shared
) -> None:
    """View right is no edit right; a folder of others answers by its own code."""
    eve = await server.add_person(shared.admin, "eve@example.org")

    with refused(Code.RIGHT_MISSING):
        await shared.bob.call(calls.COMMIT, shared.draft(shared.bob).commit())
    own = shared.draft(eve, new_uid(), eve.vault.view.root).commit().records[0]
    with refused(Code.ACCESS_MISSING):
        await put(eve, resealed(eve, own, folder=shared.folder))
    with refused(Code.OBJECT_UNKNOWN):
        await put(eve, resealed(eve, own, folder=FolderUid(new_uid())))
    await put(eve, own)


async def test_seals_by_others_of_other_times_or_broken_are_refused(
    server: BackendServer, shared: Shared
) -> None:
    """Every field of the seal counts; the honest one is taken at the end."""
    admin = shared.admin
    good = shared.draft(admin).commit().records[0]
    now = read_record_seal(good.seal).time
    cases: list[tuple[Code, RecordVersion]] = [
        (Code.SEAL_BROKEN, changed(good, payload=good.payload + b"\x00")),
        (Code.SEAL_BROKEN, changed(good, seal=changed(good.seal, signature=bytes(64)))),
        (Code.SEAL_BROKEN, changed(good, seal=changed(good.seal, body=b"\x80"))),
        (Code.SEAL_BROKEN, resealed(shared.bob, good)),
        (Code.SEAL_BROKEN, resealed(admin, good, deleted=True)),
        (Code.SEAL_AUTHOR, resealed(admin, good, author=shared.bob.device.device)),
        (Code.SEAL_AUTHOR, resealed(admin, good, log_seq=10_000)),
        (Code.SEAL_AUTHOR, resealed(admin, good, log_seq=0)),
        (Code.REQUEST_STALE, resealed(admin, good, time=now - 121)),
        (Code.REQUEST_STALE, resealed(admin, good, time=now + 121)),
        (Code.SEAL_REVISION, resealed(admin, good, revision=3)),
        (Code.SEAL_REVISION, resealed(admin, good, prev_hash=bytes(32))),
        (Code.REVISION_CONFLICT, resealed(admin, good, revision=1)),
        (Code.REVISION_CONFLICT, resealed(admin, good, revision=0)),
        (Code.REQUEST_MALFORMED, resealed(admin, good, record="x")),
        (Code.OBJECT_UNKNOWN, resealed(admin, good, inner_folder=new_uid())),
        (Code.REQUEST_MALFORMED, changed(good, record_key=b"short")),
        (Code.TOO_LARGE, changed(good, record_key=bytes(61))),
    ]

    for code, version in cases:
        with refused(code):
            await put(admin, version)
    with refused(Code.REQUEST_MALFORMED):
        await admin.call(calls.COMMIT, calls.Commit(records=(good, good)))
    await put(admin, good)


async def test_payload_over_a_mebibyte_is_refused(server: BackendServer, shared: Shared) -> None:
    """The limit of a record holds at the server as at the clients."""
    good = shared.draft(shared.admin).commit().records[0]
    payload = bytes(1024 * 1024 + 1)
    large = changed(good, payload=payload)

    with refused(Code.SEAL_BROKEN):
        await put(shared.admin, resealed(shared.admin, large, payload_hash=sha256(payload)))


async def test_move_needs_edit_right_in_both_folders(server: BackendServer, shared: Shared) -> None:
    """A viewer cannot pull a record out of a shared folder into their own."""
    bob = shared.bob
    stolen = shared.draft(bob, shared.record, bob.vault.view.root).commit().records[0]

    with refused(Code.RIGHT_MISSING):
        await put(bob, stolen)
    await shared.admin.vault.move_record(shared.record, shared.admin.vault.view.root)


async def test_deleted_record_stays_deleted(server: BackendServer, shared: Shared) -> None:
    """Its last seal ends the chain."""
    admin = shared.admin
    await admin.vault.delete_record(shared.record)
    after = shared.draft(admin).commit().records[0]

    with refused(Code.OBJECT_REVOKED):
        await put(admin, after)


async def test_folder_names_follow_their_chain_and_stay_in_their_domain(
    server: BackendServer, shared: Shared
) -> None:
    """A sub-folder cannot take a user's UID, nor another domain, nor an old revision."""
    admin = shared.admin
    inner = await admin.vault.create_folder("inner", shared.folder)
    draft = admin.draft()
    draft.put_folder(inner.uid, shared.folder, "renamed", "")
    good = draft.commit().folders[0]
    root = admin.vault.view.root
    cases: list[tuple[Code, FolderVersion]] = [
        (Code.REVISION_CONFLICT, resealed(admin, good, revision=1)),
        (Code.SEAL_REVISION, resealed(admin, good, prev_hash=bytes(32))),
        (Code.SEAL_BROKEN, resealed(admin, good, domain=root)),
        (Code.SEAL_BROKEN, changed(good, payload=b"x")),
        (Code.STATEMENT_DUPLICATE, resealed(admin, good, folder=admin.user)),
        (Code.REQUEST_MALFORMED, resealed(admin, good, folder="x")),
        (Code.OBJECT_UNKNOWN, resealed(admin, good, domain=new_uid())),
        (Code.SEAL_AUTHOR, resealed(admin, good, author=shared.bob.device.device)),
    ]

    for code, version in cases:
        with refused(code):
            await admin.call(calls.COMMIT, calls.Commit(folders=(version,)))
    await admin.call(calls.COMMIT, calls.Commit(folders=(good,)))
    await admin.vault.sync()
    await admin.vault.create_record(RecordData.create("login", "z"), inner.uid)
    await admin.vault.delete_folder(inner.uid)
    assert not admin.vault.problems


async def test_settings_need_the_policy_and_a_record_in_the_same_folder(
    server: BackendServer, shared: Shared
) -> None:
    """An editor without the policy cannot redirect a credential; nor can settings float free."""
    admin, bob = shared.admin, shared.bob
    edit = (Right.VIEW, Right.EDIT)
    await admin.vault.sharing.share_with_user(shared.folder, bob.user, edit)
    await bob.vault.sync()

    def settings(person: Person, uid: str, domain: str) -> SettingsVersion:
        draft = person.draft()
        draft.put_settings(RecordUid(uid), FolderUid(domain), ResourceSettings())
        return draft.commit().settings[0]

    async def write(person: Person, version: SettingsVersion) -> None:
        await person.call(calls.COMMIT, calls.Commit(settings=(version,)))

    good = settings(admin, shared.record, shared.folder)
    with refused(Code.POLICY_MISSING):
        await write(bob, settings(bob, shared.record, shared.folder))
    with refused(Code.OBJECT_UNKNOWN):
        await write(admin, resealed(admin, good, record=new_uid()))
    with refused(Code.OBJECT_UNKNOWN):
        await write(admin, resealed(admin, good, folder=admin.vault.view.root))
    with refused(Code.SEAL_REVISION):
        await write(admin, resealed(admin, good, revision=2))
    await write(admin, good)
    with refused(Code.REVISION_CONFLICT):
        await write(admin, good)
