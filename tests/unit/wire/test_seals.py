from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec
import pytest

from commander.authority.refusals import Code
from commander.authority.statements import Kind, Right
from commander.codec import decode, encode
from commander.crypto.aead import new_key
from commander.crypto.kdf import sha256
from commander.errors import Refused
from commander.ids import DeviceUid, FolderUid, RecordUid, new_uid
from commander.wire.device_writes import DeviceWrite
from commander.wire.seals import (
    FIRST_PREVIOUS,
    FolderSeal,
    FolderVersion,
    GrantSeal,
    KeyGrant,
    RecordSeal,
    RecordVersion,
    SettingsSeal,
    SettingsVersion,
    Signed,
    device_of,
    read_record_seal,
    record_commitment,
    sign_seal,
    verify_folder,
    verify_grant,
    verify_record,
    verify_settings,
)
from tests.support.device_writes import SdkDevice, b64
from tests.support.enterprise import Enterprise, Person


def refusal(work: Callable[[], object]) -> Code:
    with pytest.raises(Refused) as caught:
        work()
    return Code(caught.value.code)


@dataclass
class Vault:
    """An owner, an editor and a viewer of one shared folder, and a record in it."""

    acme: Enterprise
    editor: Person
    viewer: Person
    folder: FolderUid
    record: RecordUid
    key: bytes

    def version(
        self,
        author: Person,
        revision: int = 1,
        previous: bytes = FIRST_PREVIOUS,
        *,
        payload: bytes = b"ciphertext",
        folder: str = "",
        deleted: bool = False,
        log_seq: int | None = None,
    ) -> RecordVersion:
        seal = RecordSeal(
            self.record,
            FolderUid(folder or self.folder),
            "",
            revision,
            previous,
            sha256(payload),
            record_commitment(self.key, self.record, revision),
            author.device,
            self.acme.state.seq if log_seq is None else log_seq,
            self.acme.time,
            deleted,
        )
        return RecordVersion(sign_seal(seal, author.device_key), b"wrapped", payload)

    def verify(self, version: RecordVersion, pinned: RecordVersion | None = None) -> RecordSeal:
        if pinned is None:
            return verify_record(self.acme.state, version, pinned=None)
        seal = verify_record(self.acme.state, pinned, pinned=None)
        return verify_record(
            self.acme.state, version, pinned=seal, pinned_hash=pinned.seal.digest()
        )


@pytest.fixture
def vault() -> Vault:
    acme = Enterprise()
    editor, viewer = acme.add_person("e@acme.example"), acme.add_person("v@acme.example")
    folder = acme.add_folder(acme.admin)
    acme.share(acme.admin, folder, editor.user, Right.VIEW, Right.EDIT)
    acme.share(acme.admin, folder, viewer.user, Right.VIEW)
    return Vault(acme, editor, viewer, folder, RecordUid(new_uid()), new_key())


def test_a_chain_of_revisions_is_accepted(vault: Vault) -> None:
    """Owner and editor write in turn; each revision names the one before."""
    first = vault.version(vault.acme.admin)
    second = vault.version(vault.editor, 2, first.seal.digest())

    assert vault.verify(first).revision == 1
    assert vault.verify(second, first).revision == 2
    assert vault.verify(first, first).revision == 1


def test_a_viewer_cannot_forge_an_edit(vault: Vault) -> None:
    """Holding the key to read is no right to write."""
    assert refusal(lambda: vault.verify(vault.version(vault.viewer))) == Code.SEAL_AUTHOR


def test_a_swapped_payload_is_refused(vault: Vault) -> None:
    """Another record's ciphertext under this record's seal does not pass."""
    version = msgspec.structs.replace(vault.version(vault.editor), payload=b"other")

    assert refusal(lambda: vault.verify(version)) == Code.SEAL_BROKEN


def test_an_older_revision_is_a_rollback(vault: Vault) -> None:
    """A revision below the pinned one is refused, and so is another of the same number."""
    first = vault.version(vault.editor)
    second = vault.version(vault.editor, 2, first.seal.digest())
    twin = vault.version(vault.editor, 2, first.seal.digest(), payload=b"twin")

    assert refusal(lambda: vault.verify(first, second)) == Code.SEAL_REVISION
    assert refusal(lambda: vault.verify(twin, second)) == Code.SEAL_REVISION


def test_a_revision_of_another_past_is_refused(vault: Vault) -> None:
    """The next revision must follow the one that was seen."""
    first = vault.version(vault.editor)
    stray = vault.version(vault.editor, 2, sha256(b"elsewhere"))

    assert refusal(lambda: vault.verify(stray, first)) == Code.SEAL_REVISION


def test_a_record_never_stands_in_for_another(vault: Vault) -> None:
    """A higher revision of another record is not this record."""
    first = vault.version(vault.editor)
    vault.record = RecordUid(new_uid())
    other = vault.version(vault.editor, 2, first.seal.digest())
    pinned = verify_record(vault.acme.state, first, pinned=None)

    assert (
        refusal(
            lambda: verify_record(
                vault.acme.state, other, pinned=pinned, pinned_hash=first.seal.digest()
            )
        )
        == Code.SEAL_BROKEN
    )


def test_signatures_of_others_do_not_verify(vault: Vault) -> None:
    """A seal signed with any other key, or altered by a byte, is refused."""
    good = vault.version(vault.editor)
    forged = sign_seal(verify_record(vault.acme.state, good, pinned=None), vault.viewer.device_key)
    for seal in (
        forged,
        Signed(good.seal.body, bytes(64)),
        Signed(good.seal.body[:-1], good.seal.signature),
    ):
        bad = msgspec.structs.replace(good, seal=seal)
        assert refusal(lambda b=bad: vault.verify(b)) == Code.SEAL_BROKEN  # type: ignore[misc]  # bound as default
    vault.verify(good)


def test_a_write_of_a_lost_right_is_refused_but_the_past_stays(vault: Vault) -> None:
    """What an editor wrote while entitled stays valid after the share has ended."""
    before = vault.version(vault.editor)
    vault.acme.revoke(Kind.ACCESS, vault.folder, vault.editor.user)

    vault.verify(before)
    assert refusal(lambda: vault.verify(vault.version(vault.editor))) == Code.SEAL_AUTHOR


def test_a_seal_from_the_future_of_the_log_is_refused(vault: Vault) -> None:
    """An author cannot claim rights of a log position nobody has."""
    version = vault.version(vault.editor, log_seq=vault.acme.state.seq + 1)

    assert refusal(lambda: vault.verify(version)) == Code.SEAL_AUTHOR


def test_a_lost_right_cannot_be_dated_back_over_a_newer_revision(vault: Vault) -> None:
    """A revision judged by an older log than the one before it is refused."""
    while_entitled = vault.acme.state.seq
    vault.acme.revoke(Kind.ACCESS, vault.folder, vault.editor.user)
    first = vault.version(vault.acme.admin)
    dated_back = vault.version(vault.editor, 2, first.seal.digest(), log_seq=while_entitled)

    assert refusal(lambda: vault.verify(dated_back, first)) == Code.SEAL_REVISION
    vault.verify(vault.version(vault.acme.admin, 2, first.seal.digest()), first)


def test_a_move_needs_edit_right_in_both_folders(vault: Vault) -> None:
    """Nobody pulls a record out of a folder, or pushes one into it, without edit right there."""
    first = vault.version(vault.acme.admin)
    own = vault.acme.add_folder(vault.viewer)
    theft = vault.version(vault.viewer, 2, first.seal.digest(), folder=own)
    assert refusal(lambda: vault.verify(theft, first)) == Code.SEAL_AUTHOR

    mine = vault.acme.add_folder(vault.editor)
    vault.verify(vault.version(vault.editor, 2, first.seal.digest(), folder=mine), first)


def test_deletion_is_a_sealed_revision(vault: Vault) -> None:
    """An empty payload means deleted and nothing else does."""
    first = vault.version(vault.editor)
    gone = vault.version(vault.editor, 2, first.seal.digest(), payload=b"", deleted=True)
    assert vault.verify(gone, first).deleted

    lying = vault.version(vault.editor, 2, first.seal.digest(), payload=b"")
    assert refusal(lambda: vault.verify(lying, first)) == Code.SEAL_BROKEN


def test_settings_need_the_configure_policy(vault: Vault) -> None:
    """An editor of a note does not redirect a credential."""
    record = vault.verify(vault.version(vault.editor))

    def settings(author: Person, of: str = "") -> SettingsVersion:
        seal = SettingsSeal(
            RecordUid(of or vault.record), vault.folder, 1, FIRST_PREVIOUS, sha256(b"s"),
            author.device, vault.acme.state.seq, vault.acme.time,
        )  # fmt: skip
        return SettingsVersion(sign_seal(seal, author.device_key), b"s")

    def verify(version: SettingsVersion) -> SettingsSeal:
        return verify_settings(vault.acme.state, version, record=record, pinned=None)

    assert refusal(lambda: verify(settings(vault.editor))) == Code.SEAL_AUTHOR
    assert refusal(lambda: verify(settings(vault.acme.admin, new_uid()))) == Code.SEAL_BROKEN
    assert verify(settings(vault.acme.admin)).revision == 1


def test_folder_names_are_sealed_the_same_way(vault: Vault) -> None:
    """A folder name by a viewer, or of another folder, is refused."""

    def named(author: Person, folder: str, revision: int = 1) -> FolderVersion:
        seal = FolderSeal(
            FolderUid(folder), vault.folder, revision, FIRST_PREVIOUS, sha256(b"n"),
            author.device, vault.acme.state.seq, vault.acme.time, False,
        )  # fmt: skip
        return FolderVersion(sign_seal(seal, author.device_key), b"n")

    inner = new_uid()
    good = named(vault.editor, inner)
    pinned = verify_folder(vault.acme.state, good, pinned=None)

    assert (
        refusal(lambda: verify_folder(vault.acme.state, named(vault.viewer, inner), pinned=None))
        == Code.SEAL_AUTHOR
    )
    assert (
        refusal(
            lambda: verify_folder(
                vault.acme.state,
                named(vault.editor, new_uid(), 3),
                pinned=pinned,
                pinned_hash=good.seal.digest(),
            )
        )
        == Code.SEAL_BROKEN
    )


def test_key_grants_come_from_those_who_may_share(vault: Vault) -> None:
    """The server cannot hand out a folder key of its own making, nor can a viewer."""

    def grant(granter: Person, kind: str = "folder", of: str = "") -> KeyGrant:
        seal = GrantSeal(
            kind, of or vault.folder, 1, vault.viewer.user, sha256(b"box"), granter.user,
            vault.acme.state.seq, vault.acme.time,
        )  # fmt: skip
        return KeyGrant(sign_seal(seal, granter.identity), b"box")

    assert verify_grant(vault.acme.state, grant(vault.acme.admin)).epoch == 1
    assert refusal(lambda: verify_grant(vault.acme.state, grant(vault.viewer))) == Code.SEAL_AUTHOR
    application = vault.acme.add_application(vault.acme.admin)
    verify_grant(vault.acme.state, grant(vault.acme.admin, "application", application))
    assert (
        refusal(
            lambda: verify_grant(vault.acme.state, grant(vault.editor, "application", application))
        )
        == Code.SEAL_AUTHOR
    )
    swapped = msgspec.structs.replace(grant(vault.acme.admin), box=b"server's own")
    assert refusal(lambda: verify_grant(vault.acme.state, swapped)) == Code.SEAL_BROKEN


# --- writes of Secrets Manager devices -----------------------------------------------------------


@dataclass
class Shared:
    """A folder that an application may edit, its device, and the record's key."""

    acme: Enterprise
    device: SdkDevice
    folder: FolderUid
    record: RecordUid

    def version(
        self, write: DeviceWrite, revision: int, previous: bytes = FIRST_PREVIOUS, **changes: Any
    ) -> RecordVersion:
        """What the server makes of a request."""
        payload = changes.pop("payload", bytes(40))
        seal = RecordSeal(
            self.record, self.folder, "", revision, previous, sha256(payload), b"",
            self.device.uid, self.acme.state.seq, self.acme.time, payload == b"",
        )  # fmt: skip
        seal = msgspec.structs.replace(seal, **changes)
        return RecordVersion(Signed(encode(seal), write.digest()), bytes(60), payload, write)

    def create(self) -> RecordVersion:
        """The first revision."""
        write = self.device.sign(
            recordUid=self.record, folderUid=self.folder, recordKey=b64(bytes(125)),
            folderKey=b64(bytes(60)), data=b64(bytes(40)), subFolderUid=None,
        )  # fmt: skip
        return self.version(write, 1)

    def update(self, seen: int, data: bytes = bytes(40)) -> DeviceWrite:
        """A request after a revision."""
        return self.device.sign(recordUid=self.record, data=b64(data), revision=seen)

    def verify(self, version: RecordVersion, pinned: RecordVersion | None = None) -> RecordSeal:
        """Judge a version after a pinned one."""
        if pinned is None:
            return verify_record(self.acme.state, version, pinned=None)
        return verify_record(
            self.acme.state,
            version,
            pinned=read_record_seal(pinned.seal),
            pinned_hash=pinned.seal.digest(),
        )


@pytest.fixture
def shared() -> Shared:
    acme = Enterprise()
    application, folder = acme.add_application(acme.admin), acme.add_folder(acme.admin)
    acme.share(acme.admin, folder, application, Right.VIEW, Right.EDIT, kind="application")
    device = SdkDevice(application)
    acme.by_admin(device.statement())
    return Shared(acme, device, folder, RecordUid(new_uid()))


def test_device_creates_and_updates(shared: Shared) -> None:
    """Each revision is judged by the request it came with, and chained like any other."""
    first = shared.create()
    second = shared.version(shared.update(1), 2, first.seal.digest())

    assert shared.verify(first).author == shared.device.uid
    assert shared.verify(second, first).revision == 2
    author = device_of(shared.acme.state, second)
    assert author is not None
    assert author.is_confirmed
    assert decode(RecordVersion, encode(second)) == second


def test_version_of_ours_is_stored_as_before() -> None:
    """Rows from before devices wrote are read, and written the same."""
    version = RecordVersion(Signed(b"s", bytes(64)), b"k", b"p")

    assert encode(version) == encode({"seal": version.seal, "record_key": b"k", "payload": b"p"})
    assert device_of(Enterprise().state, version) is None


def test_old_device_write_shown_again_is_refused(shared: Shared) -> None:
    """At its old revision, at a new one, and with a forged place in the chain."""
    first = shared.create()
    old = shared.update(1)
    second = shared.version(old, 2, first.seal.digest())
    third = shared.version(shared.update(2), 3, second.seal.digest())

    assert refusal(lambda: shared.verify(second, third)) == Code.SEAL_REVISION
    for revision in (4, 7):
        replayed = shared.version(old, revision, third.seal.digest())
        assert refusal(partial(shared.verify, replayed, third)) == Code.SEAL_BROKEN
    unchained = shared.version(shared.update(3), 4, first.seal.digest())
    assert refusal(lambda: shared.verify(unchained, third)) == Code.SEAL_REVISION


@pytest.mark.parametrize(
    "changes",
    [
        {"record": RecordUid("r" * 21 + "A")}, {"revision": 3}, {"payload_hash": bytes(32)},
        {"author": DeviceUid("d" * 21 + "A")}, {"deleted": True}, {"payload": b""},
    ],
)  # fmt: skip
def test_claims_of_the_server_are_checked(shared: Shared, changes: dict[str, Any]) -> None:
    """What it fills into the seal has to be what the device signed."""
    write = shared.update(1)
    shared.verify(shared.version(write, 2))
    revision = changes.pop("revision", 2)

    assert (
        refusal(lambda: shared.verify(shared.version(write, revision, **changes)))
        == Code.SEAL_BROKEN
    )


def test_seal_of_another_request_is_refused(shared: Shared) -> None:
    """The digest in the seal binds the request to the pin."""
    version = shared.version(shared.update(1), 2)
    other = msgspec.structs.replace(version, write=shared.update(1))

    assert refusal(lambda: shared.verify(other)) == Code.SEAL_BROKEN


def test_device_may_not_move_a_record(shared: Shared) -> None:
    """Neither to another folder it edits nor within one."""
    first = shared.create()
    elsewhere = shared.acme.add_folder(shared.acme.admin)
    shared.acme.share(
        shared.acme.admin, elsewhere, shared.device.application, Right.EDIT, kind="application"
    )
    write = shared.update(1)

    places: list[dict[str, Any]] = [{"folder": elsewhere}, {"inner_folder": "i" * 22}]
    for changes in places:
        moved = shared.version(write, 2, first.seal.digest(), **changes)
        assert refusal(partial(shared.verify, moved, first)) == Code.SEAL_BROKEN


def test_device_after_a_move_that_was_not_seen_is_believed(shared: Shared) -> None:
    """A user moved the record in between; the device's next revision names the new place."""
    first = shared.create()
    later = shared.version(shared.update(2), 3, bytes(32), inner_folder="i" * 22)

    assert shared.verify(later, first).revision == 3


def test_device_without_edit_right_writes_nothing(shared: Shared) -> None:
    """At the position the server names, which may not go back behind the pinned one."""
    first = shared.create()
    before = shared.acme.state.seq
    shared.acme.share(
        shared.acme.admin, shared.folder, shared.device.application, Right.VIEW, kind="application"
    )
    second = shared.version(shared.update(1), 2, first.seal.digest())
    assert refusal(lambda: shared.verify(second, first)) == Code.SEAL_AUTHOR

    ours = shared.version(shared.update(1), 2, first.seal.digest(), log_seq=before)
    shared.verify(ours, first)


def test_removed_device_writes_nothing(shared: Shared) -> None:
    """Its end stands in the log."""
    shared.acme.revoke(Kind.CLIENT, shared.device.uid)

    assert refusal(lambda: shared.verify(shared.create())) == Code.SEAL_AUTHOR


def folder_version(
    shared: Shared, folder: FolderUid, write: DeviceWrite, revision: int, **changes: Any
) -> FolderVersion:
    payload = changes.pop("payload", bytes(48))
    origin = changes.pop("origin", None)
    seal = FolderSeal(
        folder, shared.folder, revision, FIRST_PREVIOUS, sha256(payload), shared.device.uid,
        shared.acme.state.seq, shared.acme.time, payload == b"",
    )  # fmt: skip
    seal = msgspec.structs.replace(seal, **changes)
    return FolderVersion(Signed(encode(seal), write.digest()), payload, write, origin)


def test_device_makes_renames_and_deletes_folders(shared: Shared) -> None:
    """With the request that made the folder for its key."""
    folder = FolderUid(new_uid())
    made = shared.device.sign(
        folderUid=folder, sharedFolderUid=shared.folder, sharedFolderKey=b64(bytes(64)),
        data=b64(bytes(48)), parentUid=None,
    )  # fmt: skip
    rename = shared.device.sign(folderUid=folder, data=b64(bytes(48)))
    drop = shared.device.sign(folderUids=[folder], forceDeletion=False)
    other = shared.device.sign(
        folderUid=new_uid(), sharedFolderUid=shared.folder, sharedFolderKey=b64(bytes(64)),
        data=b64(bytes(48)), parentUid=None,
    )  # fmt: skip
    state = shared.acme.state

    for good in (
        folder_version(shared, folder, made, 1),
        folder_version(shared, folder, rename, 2, origin=made),
        folder_version(shared, folder, drop, 3, payload=b""),
    ):
        assert verify_folder(state, good, pinned=None).folder == folder
        assert decode(FolderVersion, encode(good)) == good
    for bad in (
        folder_version(shared, folder, made, 2),
        folder_version(shared, folder, rename, 2, origin=other),
        folder_version(shared, folder, rename, 2, origin=rename),
        folder_version(shared, folder, rename, 2, deleted=True),
        folder_version(shared, folder, drop, 3),
    ):
        assert refusal(partial(verify_folder, state, bad, pinned=None)) == Code.SEAL_BROKEN
