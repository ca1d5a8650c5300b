from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import pytest

from commander.authority.refusals import Code
from commander.authority.statements import Kind, Right
from commander.crypto.aead import new_key
from commander.crypto.kdf import sha256
from commander.errors import Refused
from commander.ids import FolderUid, RecordUid, new_uid
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
    record_commitment,
    sign_seal,
    verify_folder,
    verify_grant,
    verify_record,
    verify_settings,
)
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
