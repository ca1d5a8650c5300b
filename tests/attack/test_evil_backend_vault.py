"""
A backend that lies to a client: what it shows is named by its code, and the older data stays.

Single objects that were tampered with are in tests/unit/vault/test_sync.py; here the whole vault
talks to a server that lies, forgets, or helps somebody who lost a right.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import msgspec
import pytest

from commander.authority.refusals import Code
from commander.authority.statements import Gateway, Kind, Revoke, Right, User
from commander.clock import ManualClock
from commander.codec import Message, decode, encode
from commander.crypto.box import BoxPrivateKey
from commander.crypto.signing import SigningKey
from commander.errors import CommanderError, InvalidInput, Refused, Tampered
from commander.ids import FolderUid, GatewayUid, RecordUid, new_uid
from commander.vault.accounts import Identity
from commander.vault.draft import Author, Draft
from commander.vault.people import RoleChange
from commander.vault.session import Vault
from commander.vault.state import Place
from commander.wire import calls, seals
from commander.wire.pam import ResourceSettings
from commander.wire.records import RecordData
from tests.support.memory_server import MemoryServer
from tests.support.vaults import first_vault, same_user_again, second_vault


class Scene:
    """Ann owns a shared folder with two records; Bob may view and edit it and may configure."""

    def __init__(self, server: MemoryServer, clock: ManualClock, ann: Vault, bob: Vault) -> None:
        self.server, self.clock, self.ann, self.bob = server, clock, ann, bob
        self.folder = FolderUid("")
        self.record = RecordUid("")
        self.other = RecordUid("")

    def draft_by(self, vault: Vault, *, seen: int | None = None) -> Draft:
        """A draft that asks nobody, as of a log position the author pretends to have seen last."""
        author = Author(
            vault.user, vault.device, vault.login.identity.sign, vault.login.device.signing_key()
        )
        draft = Draft(vault._replica, author, now=self.clock.now())
        if seen is not None:
            draft._seq = seen
        return draft

    def answering(self, path: str, lie: Callable[[Message], Message]) -> None:
        """Let the server change its answers to one call."""
        self.server.before_answer = lambda asked, answer: lie(answer) if asked == path else answer


@pytest.fixture
async def scene() -> Scene:
    clock = ManualClock()
    server = MemoryServer(clock)
    ann = await first_vault(server, clock)
    bob = await second_vault(server, clock, ann, "bob@example.org")
    await ann.sync()
    found = Scene(server, clock, ann, bob)
    found.folder = (await ann.create_shared_folder("Shared")).uid
    found.record = (await ann.create_record(RecordData.create("login", "One"), found.folder)).uid
    found.other = (await ann.create_record(RecordData.create("login", "Two"), found.folder)).uid
    role = ann.people.find_role("Administrators")
    await ann.people.change_role(role.role, RoleChange(add_users=(bob.user,)))
    await ann.sharing.share_with_user(found.folder, bob.user, (Right.VIEW, Right.EDIT))
    await bob.sync()
    assert not bob.problems
    return found


async def take_edit_right(scene: Scene) -> int:
    """Bob may only view from now on; the last position at which he might edit."""
    before = scene.ann.state.seq
    await scene.ann.sharing.share_with_user(scene.folder, scene.bob.user, (Right.VIEW,))
    await scene.bob.sync()
    return before


def show(scene: Scene, vault: Vault, **parts: tuple[object, ...]) -> None:
    """Let the server answer the next sync with these objects."""
    empty = calls.SyncAnswer(10_000, False, (), (), (), (), ())
    answer = msgspec.structs.replace(empty, **parts)
    scene.answering(calls.SYNC.path, lambda _: answer)


async def test_control_an_editor_writes(scene: Scene) -> None:
    """While Bob has the right, what he writes is taken."""
    draft = scene.draft_by(scene.bob)
    draft.put_record(scene.record, RecordData.create("login", "By Bob"), Place(scene.folder))
    show(scene, scene.ann, records=tuple(draft.records))

    assert await scene.ann.sync() == []
    assert scene.ann.get_record(scene.record).data.title == "By Bob"


async def test_an_edit_dated_back_before_a_newer_revision_is_refused(scene: Scene) -> None:
    """
    Bob lost the right and the server helps him: he pretends not to have seen that, but a revision
    cannot have seen less of the log than the one that it follows.
    """
    before = await take_edit_right(scene)
    await scene.ann.update_record(scene.record, lambda data: data.set_first("login", "ann"))
    await scene.bob.sync()
    draft = scene.draft_by(scene.bob, seen=before)
    draft.put_record(scene.record, RecordData.create("login", "By Bob"), Place(scene.folder))
    show(scene, scene.ann, records=tuple(draft.records))

    problems = await scene.ann.sync()

    assert [problem.error.code for problem in problems] == [Code.SEAL_REVISION]
    assert scene.ann.get_record(scene.record).data.title == "One"


async def test_settings_dated_back_are_refused(scene: Scene) -> None:
    """The same for PAM settings."""
    await scene.ann.change_settings(scene.record, lambda _: ResourceSettings(protocol="ssh"))
    before = await take_edit_right(scene)
    await scene.ann.change_settings(scene.record, lambda _: ResourceSettings(protocol="rdp"))
    await scene.bob.sync()
    draft = scene.draft_by(scene.bob, seen=before)
    draft.put_settings(scene.record, scene.folder, ResourceSettings(protocol="vnc"))
    show(scene, scene.ann, settings=tuple(draft.settings))

    problems = await scene.ann.sync()

    assert [problem.error.code for problem in problems] == [Code.SEAL_REVISION]
    assert scene.ann.settings(scene.record) == ResourceSettings(protocol="rdp")


async def test_a_folder_name_dated_back_is_refused(scene: Scene) -> None:
    """The same for folder names."""
    before = await take_edit_right(scene)
    await scene.ann.rename_folder(scene.folder, "Ann's")
    await scene.bob.sync()
    draft = scene.draft_by(scene.bob, seen=before)
    draft.put_folder(scene.folder, scene.folder, "Bob's", "")
    show(scene, scene.ann, folders=tuple(draft.folders))

    problems = await scene.ann.sync()

    assert [problem.error.code for problem in problems] == [Code.SEAL_REVISION]
    assert scene.ann.view.folders[scene.folder].name == "Ann's"


# --- history -----------------------------------------------------------------------------------------


Versions = tuple[seals.RecordVersion, ...]


async def history_with(scene: Scene, lie: Callable[[Versions], Versions]) -> str:
    """Ask for the history of a record whose answer is changed; the code, or "" when it was taken."""

    def change(answer: Message) -> Message:
        assert isinstance(answer, calls.HistoryAnswer)
        return calls.HistoryAnswer(lie(answer.records))

    await scene.ann.update_record(scene.record, lambda data: data.set_first("login", "x"))
    scene.answering(calls.HISTORY.path, change)
    try:
        await scene.ann.history(scene.record)
    except Refused as error:
        return error.code
    return ""


def renamed_author(scene: Scene, version: seals.RecordVersion) -> seals.RecordVersion:
    """The same content in the name of another device."""
    seal = msgspec.structs.replace(
        seals.read_record_seal(version.seal), author=scene.bob.device, time=1
    )
    return msgspec.structs.replace(version, seal=seals.Signed(encode(seal), version.seal.signature))


async def test_an_honest_history_is_shown(scene: Scene) -> None:
    """The control: all revisions, oldest first."""
    assert await history_with(scene, lambda versions: versions) == ""
    assert [record.revision for record in await scene.ann.history(scene.record)] == [1, 2]


async def test_a_history_with_another_author_is_refused(scene: Scene) -> None:
    """Who wrote a revision, and when, is what the author signed."""
    code = await history_with(
        scene, lambda versions: (renamed_author(scene, versions[0]), versions[1])
    )

    assert code == Code.SEAL_BROKEN


async def test_a_history_in_another_order_is_refused(scene: Scene) -> None:
    """A revision follows the one before it."""
    assert await history_with(scene, lambda versions: versions[::-1]) == Code.SEAL_REVISION


async def test_a_history_with_a_revision_of_another_record_is_refused(scene: Scene) -> None:
    """One record's past cannot stand in for another's."""
    foreign = scene.server.stored.records[scene.other][0][1]

    assert await history_with(scene, lambda versions: (foreign,)) == Code.SEAL_BROKEN


async def test_a_history_of_a_fork_is_refused(scene: Scene) -> None:
    """A second revision that nobody was shown, though an editor signed it."""
    draft = scene.draft_by(scene.bob)
    draft.put_record(scene.record, RecordData.create("login", "Forked"), Place(scene.folder))

    code = await history_with(scene, lambda versions: (versions[0], draft.records[0]))

    assert code == Code.SEAL_REVISION


# --- log and identity --------------------------------------------------------------------------------


async def log_with(scene: Scene, make: Callable[[Draft], object]) -> tuple[str, str]:
    """Put statements into the server's log that it should not have taken; type and code of the error."""
    draft = scene.draft_by(scene.ann)
    make(draft)
    before = scene.bob.state.head
    scene.server.stored.statements += draft.statements
    stored = scene.server.stored.statements
    answer = calls.LogAnswer(
        tuple(stored[scene.bob.state.seq + 1 :]), stored[-1].seq, stored[-1].digest()
    )
    scene.answering(calls.LOG.path, lambda _: answer)
    with pytest.raises(CommanderError) as caught:
        await scene.bob.sync()
    assert scene.bob.state.head == before
    return type(caught.value).__name__, caught.value.code


async def test_a_user_with_other_keys_is_refused(scene: Scene) -> None:
    """The server puts its own box key into a second statement about Ann: a UID is taken once."""
    own = BoxPrivateKey.generate().public.raw
    ann = scene.ann.state.users.get(scene.ann.user)
    assert ann is not None
    body = User(ann.user, "new@example.org", ann.sign_key, own)

    assert await log_with(scene, lambda d: d.state(body, key=SigningKey.generate())) == (
        "Refused",
        Code.STATEMENT_NOT_ENTITLED,
    )


async def test_a_gateway_of_the_servers_is_refused(scene: Scene) -> None:
    """Nobody who may enrol gateways signed it."""
    application = await scene.ann.applications.create("App")
    await scene.bob.sync()
    body = Gateway(
        GatewayUid(new_uid()), application.uid, "", "C" * 88, SigningKey.generate().public.raw,
        BoxPrivateKey.generate().public.raw, b"\x04" + bytes(64),
    )  # fmt: skip

    assert await log_with(scene, lambda d: d.state(body, key=SigningKey.generate())) == (
        "Refused",
        Code.STATEMENT_NOT_ENTITLED,
    )
    assert not list(scene.bob.state.gateways.values())


async def test_a_revoke_that_nobody_signed_is_refused(scene: Scene) -> None:
    """Nor can the server take a right away in somebody's name."""
    body = Revoke(Kind.USER, scene.bob.user, "")

    assert await log_with(scene, lambda d: d.state(body, key=SigningKey.generate())) == (
        "Refused",
        Code.STATEMENT_NOT_ENTITLED,
    )


async def test_an_account_under_other_keys_is_noticed_at_login(scene: Scene) -> None:
    """A log that is whole but knows this account by other keys is not worked with."""
    stranger = dataclasses.replace(scene.bob.login, identity=Identity.generate())
    remote = scene.server.remote_for(scene.bob.user)

    with pytest.raises(CommanderError) as caught:
        await Vault.open(stranger, remote, clock=scene.clock)

    assert isinstance(caught.value, Tampered)
    (await same_user_again(scene.server, scene.clock, scene.bob)).check_identity()


async def test_another_enterprise_is_noticed(scene: Scene) -> None:
    """A device that joined one enterprise takes no other, whole and honest as it may be."""
    other = MemoryServer(scene.clock)
    await first_vault(other, scene.clock, email=scene.ann.email)

    with pytest.raises(Tampered) as caught:
        await Vault.open(scene.ann.login, other.remote_for(scene.ann.user), clock=scene.clock)

    assert caught.value.code == Code.LOG_FORKED


async def test_withheld_statements_stop_nothing_but_are_never_made_up_for(scene: Scene) -> None:
    """A page without its end: the client keeps what it has and takes the rest later."""
    before = scene.bob.state.seq
    await scene.ann.create_shared_folder("New")
    scene.answering(calls.LOG.path, lambda answer: msgspec.structs.replace(answer, statements=()))
    await scene.bob.sync()
    assert scene.bob.state.seq == before

    scene.answering(calls.LOG.path, lambda answer: answer)
    await scene.bob.sync()
    assert scene.bob.state.head == scene.ann.state.head


@pytest.mark.parametrize("kept", [0, 1, 50])
async def test_an_answer_cut_anywhere_is_no_answer(scene: Scene, kept: int) -> None:
    """Bytes that end early, or go on, break the form and change nothing."""
    answer = await scene.server.remote_for(scene.bob.user).call(calls.SYNC, calls.SyncRequest(0))
    data = encode(answer)

    for bad in (data[:kept], data[:-1], data + b"\0", encode(calls.Empty())):
        with pytest.raises(InvalidInput):
            decode(calls.SyncAnswer, bad)
    assert decode(calls.SyncAnswer, data) == answer
