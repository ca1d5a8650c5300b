"""What an evil server can hand out: each case has its exact code, and a control that is taken."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from commander.authority.refusals import Code
from commander.authority.statements import Administrator, Right, Statement
from commander.clock import ManualClock
from commander.crypto import aead
from commander.crypto.kdf import sha256
from commander.crypto.signing import SigningKey
from commander.errors import Refused, Tampered
from commander.ids import DeviceUid, FolderUid, RecordUid, new_uid
from commander.vault.draft import Author, Draft
from commander.vault.opening import seal_settings
from commander.vault.people import RoleChange
from commander.vault.replica import Replica
from commander.vault.session import Vault
from commander.vault.state import Place
from commander.vault.sync import merge_changes, merge_log
from commander.wire import calls, seals
from commander.wire.pam import ResourceSettings
from commander.wire.records import RecordData
from tests.support.memory_server import MemoryServer
from tests.support.vaults import first_vault, same_user_again, second_vault


def record_data(title: str) -> RecordData:
    return RecordData.create("login", title)


class World:
    """Ann owns a shared folder with two records; Bob may view it."""

    def __init__(self, server: MemoryServer, clock: ManualClock, ann: Vault, bob: Vault) -> None:
        self.server, self.clock, self.ann, self.bob = server, clock, ann, bob
        self.folder = FolderUid("")
        self.record = RecordUid("")
        self.other = RecordUid("")

    def newest(self, uid: str) -> seals.RecordVersion:
        """What the server has of a record."""
        return self.server.stored.records[uid][-1][1]

    def answer(self, **parts: tuple[object, ...]) -> calls.SyncAnswer:
        """An answer with these parts alone."""
        empty = calls.SyncAnswer(10_000, False, (), (), (), (), ())
        return msgspec.structs.replace(empty, **parts)

    def replica(self, vault: Vault) -> Replica:
        """A vault's replica."""
        return vault._replica

    def codes(self, vault: Vault, **parts: tuple[object, ...]) -> list[str]:
        """The codes of what a vault refuses of an answer."""
        problems = merge_changes(self.replica(vault), self.answer(**parts))
        return [problem.error.code for problem in problems]

    def draft_by(self, vault: Vault, device: SigningKey | None = None, uid: str = "") -> Draft:
        """A draft that asks nobody for permission."""
        author = Author(
            vault.user,
            DeviceUid(uid) if uid else vault.device,
            vault.login.identity.sign,
            device or vault.login.device.signing_key(),
        )
        return Draft(self.replica(vault), author, now=self.clock.now())


@pytest.fixture
async def world() -> World:
    clock = ManualClock()
    server = MemoryServer(clock)
    ann = await first_vault(server, clock)
    bob = await second_vault(server, clock, ann, "bob@example.org")
    await ann.sync()
    found = World(server, clock, ann, bob)
    found.folder = (await ann.create_shared_folder("Shared")).uid
    found.record = (await ann.create_record(record_data("One"), found.folder)).uid
    found.other = (await ann.create_record(record_data("Two"), found.folder)).uid
    await ann.sharing.share_with_user(found.folder, bob.user, (Right.VIEW,))
    await bob.sync()
    assert not bob.problems
    return found


async def test_control_next_revision_is_taken(world: World) -> None:
    """An honest next revision replaces the one before, and the cursor moves on."""
    await world.ann.update_record(world.record, lambda data: data.set_first("login", "x"))

    assert world.codes(world.bob, records=(world.newest(world.record),)) == []
    assert world.bob.get_record(world.record).data.text("login") == "x"
    assert world.replica(world.bob).cursor == 10_000


async def test_rolled_back_record_is_refused(world: World) -> None:
    """The first revision after the second: named, the second stays, the cursor waits."""
    old = world.newest(world.record)
    await world.ann.update_record(world.record, lambda data: data.set_first("login", "x"))
    await world.bob.sync()
    cursor = world.replica(world.bob).cursor

    assert world.codes(world.bob, records=(old,)) == [Code.SEAL_REVISION]
    assert world.bob.get_record(world.record).data.text("login") == "x"
    assert world.replica(world.bob).cursor == cursor


async def test_forked_record_is_refused(world: World) -> None:
    """Another revision of the same number, though signed by the same device, is a fork."""
    draft = world.draft_by(world.ann)
    place = Place(world.folder)
    draft.put_record(world.record, record_data("Forked"), place)
    await world.ann.update_record(world.record, lambda data: data.set_first("login", "x"))
    await world.bob.sync()

    assert world.codes(world.bob, records=tuple(draft.records)) == [Code.SEAL_REVISION]
    assert world.bob.get_record(world.record).data.title == "One"


async def test_swapped_payload_is_refused(world: World) -> None:
    """One record's payload under another's seal."""
    version = world.newest(world.record)
    swapped = msgspec.structs.replace(version, payload=world.newest(world.other).payload)

    assert world.codes(world.bob, records=(swapped,)) == [Code.SEAL_BROKEN]
    assert world.bob.get_record(world.record).data.title == "One"


async def test_swapped_record_key_is_refused(world: World) -> None:
    """A record key that opens under the folder key but is not the one committed to."""
    version = world.newest(world.record)
    other = world.newest(world.other)
    swapped = msgspec.structs.replace(version, record_key=other.record_key)

    assert world.codes(world.bob, records=(swapped,)) == [Code.RECORD_TAMPERED]
    assert world.bob.get_record(world.record).data.title == "One"


async def test_edit_by_a_view_only_member_is_refused(world: World) -> None:
    """Even when the server stores it: the author had no right."""
    draft = world.draft_by(world.bob)
    draft.put_record(world.record, record_data("Bob was here"), Place(world.folder))

    assert world.codes(world.ann, records=tuple(draft.records)) == [Code.SEAL_AUTHOR]
    assert world.ann.get_record(world.record).data.title == "One"


async def test_author_nobody_certified_is_refused(world: World) -> None:
    """A device made up by the server."""
    draft = world.draft_by(world.ann, SigningKey.generate(), new_uid())
    draft.put_record(world.record, record_data("Forged"), Place(world.folder))

    assert world.codes(world.ann, records=tuple(draft.records)) == [Code.SEAL_AUTHOR]


async def test_signature_of_another_key_is_refused(world: World) -> None:
    """The right device's name with a wrong key."""
    draft = world.draft_by(world.ann, SigningKey.generate())
    draft.put_record(world.record, record_data("Forged"), Place(world.folder))

    assert world.codes(world.bob, records=tuple(draft.records)) == [Code.SEAL_BROKEN]


async def test_settings_without_the_policy_are_refused(world: World) -> None:
    """An editor without CONFIGURE cannot redirect a resource; ann, who has it, can."""
    await world.ann.sharing.share_with_user(world.folder, world.bob.user, (Right.VIEW, Right.EDIT))
    await world.bob.sync()
    forged = world.draft_by(world.bob)
    forged.put_settings(world.record, world.folder, ResourceSettings(protocol="ssh"))
    honest = world.draft_by(world.ann)
    honest.put_settings(world.record, world.folder, ResourceSettings(protocol="ssh"))

    assert world.codes(world.ann, settings=tuple(forged.settings)) == [Code.SEAL_AUTHOR]
    assert world.ann.settings(world.record) is None
    assert world.codes(world.ann, settings=tuple(honest.settings)) == []
    assert world.ann.settings(world.record) == ResourceSettings(protocol="ssh")


async def test_swapped_settings_payload_is_refused(world: World) -> None:
    """Settings that were sealed for another record."""
    draft = world.draft_by(world.ann)
    draft.put_settings(world.record, world.folder, ResourceSettings())
    key = world.ann.get_record(world.other).key
    payload = seal_settings(key, world.other, ResourceSettings(protocol="ssh"))
    bad = msgspec.structs.replace(draft.settings[0], payload=payload)

    assert world.codes(world.ann, settings=(bad,)) == [Code.SEAL_BROKEN]


async def test_link_to_a_credential_its_author_may_not_use_is_refused(world: World) -> None:
    """Bob, who may configure, links a record of ann's personal folder."""
    role = world.ann.people.find_role("Administrators")
    draft = world.draft_by(world.ann)
    secret = await world.ann.create_record(record_data("Ann's own"))
    await world.ann.people.change_role(role.role, RoleChange(add_users=(world.bob.user,)))
    await world.ann.sharing.share_with_user(world.folder, world.bob.user, (Right.VIEW, Right.EDIT))
    await world.bob.sync()
    draft = world.draft_by(world.bob)
    linked = ResourceSettings(launch_credential=secret.uid)
    draft.put_settings(world.record, world.folder, linked)
    control = world.draft_by(world.bob)
    control.put_settings(
        world.other, world.folder, ResourceSettings(launch_credential=world.record)
    )

    assert world.codes(world.ann, settings=tuple(draft.settings)) == [Code.LINK_NOT_ALLOWED]
    assert world.codes(world.ann, settings=tuple(control.settings)) == []


async def test_folder_renamed_by_a_viewer_is_refused(world: World) -> None:
    """The name stays the owner's."""
    draft = world.draft_by(world.bob)
    draft.put_folder(world.folder, world.folder, "Forged", "")

    assert world.codes(world.ann, folders=tuple(draft.folders)) == [Code.SEAL_AUTHOR]
    assert world.ann.view.folders[world.folder].name == "Shared"


async def test_key_granted_by_a_viewer_is_refused(world: World) -> None:
    """Only who may share hands out keys."""
    draft = world.draft_by(world.bob)
    box = world.ann.login.identity.box.public
    draft.grant("folder", world.folder, world.ann.user, box)

    assert world.codes(world.ann, grants=tuple(draft.grants)) == [Code.SEAL_AUTHOR]


async def test_substituted_folder_key_is_refused(world: World) -> None:
    """A box of the server's own under a genuine grant's seal."""
    grant = next(
        grant
        for _, grant in world.server.stored.grants
        if seals.read_grant_seal(grant.seal).recipient == world.bob.user
        and seals.read_grant_seal(grant.seal).object == world.folder
    )
    seal = seals.read_grant_seal(grant.seal)
    box = world.bob.login.identity.box.public.seal(
        aead.new_key(), "key-grant", *seals.grant_context(seal)
    )

    assert sha256(box) != seal.box_hash
    bad = msgspec.structs.replace(grant, box=box)
    assert world.codes(world.bob, grants=(bad,)) == [Code.SEAL_BROKEN]
    assert world.codes(world.bob, grants=(grant,)) == []


async def test_other_key_of_the_same_epoch_is_refused(world: World) -> None:
    """A member who may share cannot silently replace the key everybody uses."""
    draft = world.draft_by(world.ann)
    draft._keys[("folder", world.folder)] = aead.new_key()
    draft.grant("folder", world.folder, world.bob.user, world.bob.login.identity.box.public)

    assert world.codes(world.bob, grants=tuple(draft.grants)) == [Code.SEAL_REVISION]


async def test_record_without_its_folder_key_is_named(world: World) -> None:
    """A server that withholds a key is told on, not silently obeyed."""
    world.replica(world.bob).keys.pop(("folder", world.folder))
    await world.ann.update_record(world.record, lambda data: data.set_first("login", "x"))

    assert world.codes(world.bob, records=(world.newest(world.record),)) == [Code.SEAL_BROKEN]


async def test_altered_application_data_is_refused(world: World) -> None:
    """Title and folder keys of an application open under its key or not at all."""
    application = await world.ann.applications.create("App")
    row = world.server.stored.applications[application.uid][1]
    bad = msgspec.structs.replace(row, data=aead.seal(aead.new_key(), b'{"title":"x"}'))

    assert world.codes(world.ann, applications=(bad,)) == [Code.SEAL_BROKEN]
    assert world.codes(world.ann, applications=(row,)) == []
    assert world.ann.applications.find("App").uid == application.uid


async def test_deleted_record_stays_deleted(world: World) -> None:
    """The pin outlives the record: an older revision cannot bring it back."""
    old = world.newest(world.record)
    await world.ann.delete_record(world.record)
    await world.bob.sync()
    assert world.record not in world.bob.view.records

    assert world.codes(world.bob, records=(old,)) == [Code.SEAL_REVISION]
    assert world.record not in world.bob.view.records


def log_of(server: MemoryServer, statements: list[Statement] | None = None) -> calls.LogAnswer:
    kept = server.stored.statements if statements is None else statements
    return calls.LogAnswer(tuple(kept), kept[-1].seq, kept[-1].digest())


async def test_whole_log_again_is_taken(world: World) -> None:
    """The control: what was seen before may be sent again."""
    merge_log(
        world.replica(world.bob), log_of(world.server), fingerprint=world.bob.login.device.root
    )

    assert world.bob.state.seq == len(world.server.stored.statements) - 1


async def test_shorter_log_is_a_rollback(world: World) -> None:
    """A log without its last statement."""
    answer = log_of(world.server, world.server.stored.statements[:-1])

    with pytest.raises(Tampered) as caught:
        merge_log(world.replica(world.bob), answer, fingerprint=world.bob.login.device.root)

    assert caught.value.code == Code.LOG_FORKED


async def test_forked_log_is_named(world: World) -> None:
    """Two administrators' shells on two branches: the second branch is refused."""
    twin = await same_user_again(world.server, world.clock, world.ann)
    before = list(world.server.stored.statements)
    await world.ann.create_shared_folder("A")
    await world.bob.sync()
    world.server.stored.statements = before
    await twin.create_shared_folder("B")

    with pytest.raises(Tampered) as caught:
        await world.bob.sync()

    assert caught.value.code == Code.LOG_FORKED


async def test_log_that_grew_on_another_branch_is_named(world: World) -> None:
    """The next statement follows a hash that is not the pinned one."""
    last = world.server.stored.statements[-1]
    forged = msgspec.structs.replace(last, seq=last.seq + 1, prev_hash=bytes(32))
    answer = calls.LogAnswer((forged,), forged.seq, forged.digest())

    with pytest.raises(Tampered) as caught:
        merge_log(world.replica(world.bob), answer, fingerprint=world.bob.login.device.root)

    assert caught.value.code == Code.LOG_FORKED


async def test_forged_statement_is_refused(world: World) -> None:
    """A statement of ann's that ann did not sign."""
    draft = world.draft_by(world.ann)
    forger = SigningKey.generate()
    statement = draft.state(Administrator(world.bob.user), key=forger)
    answer = calls.LogAnswer((statement,), statement.seq, statement.digest())

    with pytest.raises(Refused) as caught:
        merge_log(world.replica(world.bob), answer, fingerprint=world.bob.login.device.root)

    assert caught.value.code == Code.STATEMENT_NOT_ENTITLED
    assert not world.bob.people.is_administrator(world.bob.user)


async def test_head_that_is_not_the_last_statement_is_named(world: World) -> None:
    """A head hash beside the statements that lead to it."""
    answer = msgspec.structs.replace(log_of(world.server), head_hash=bytes(32))
    fresh = Replica(world.bob.user, world.bob.login.identity)

    with pytest.raises(Tampered) as caught:
        merge_log(fresh, answer, fingerprint=world.bob.login.device.root)

    assert caught.value.code == Code.LOG_FORKED


async def test_other_root_is_named(world: World) -> None:
    """Another enterprise's log under the address of ours."""
    clock = ManualClock()
    other = MemoryServer(clock)
    await first_vault(other, clock)
    fresh = Replica(world.bob.user, world.bob.login.identity)

    with pytest.raises(Tampered) as caught:
        merge_log(fresh, log_of(other), fingerprint=world.bob.login.device.root)

    assert caught.value.code == Code.LOG_FORKED


@pytest.mark.parametrize("part", ["grants", "folders", "records", "settings"])
async def test_malformed_seals_are_named(world: World, part: str) -> None:
    """Bytes that are no seal are refused with a code, whatever they stand in for."""
    signed = seals.Signed(b"\xff\x00", bytes(64))
    makers: dict[str, Callable[[], object]] = {
        "grants": lambda: seals.KeyGrant(signed, b""),
        "folders": lambda: seals.FolderVersion(signed, b""),
        "records": lambda: seals.RecordVersion(signed, b"", b""),
        "settings": lambda: seals.SettingsVersion(signed, b""),
    }

    assert world.codes(world.bob, **{part: (makers[part](),)}) == [Code.SEAL_BROKEN]


@pytest.mark.parametrize(
    "changes", [{"revision": -1}, {"revision": 0}, {"time": -1}, {"time": 2**60}, {"log_seq": -1}]
)
async def test_numbers_out_of_range_are_named(world: World, changes: dict[str, int]) -> None:
    """A malicious member's seal, rightly signed, must not stop anybody's sync."""
    draft = world.draft_by(world.ann)
    draft.put_record(RecordUid(new_uid()), record_data("x"), Place(world.folder))
    seal = msgspec.structs.replace(seals.read_record_seal(draft.records[0].seal), **changes)
    signed = seals.sign_seal(seal, world.ann.login.device.signing_key())
    bad = msgspec.structs.replace(draft.records[0], seal=signed)

    assert world.codes(world.bob, records=(bad,)) == [Code.SEAL_BROKEN]


@pytest.mark.parametrize("changes", [{"seq": -1}, {"time": -1}])
async def test_statement_with_negative_numbers_is_named(
    world: World, changes: dict[str, int]
) -> None:
    """Also one that claims to be an old statement."""
    bad = msgspec.structs.replace(world.server.stored.statements[1], **changes)
    answer = calls.LogAnswer((bad,), world.bob.state.seq, world.bob.state.head)

    with pytest.raises(Refused) as caught:
        merge_log(world.replica(world.bob), answer, fingerprint=world.bob.login.device.root)

    assert caught.value.code == Code.STATEMENT_MALFORMED
