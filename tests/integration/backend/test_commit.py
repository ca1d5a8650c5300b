"""Commits: all or nothing, once, and exactly as many as were acknowledged."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from commander.authority.refusals import Code
from commander.authority.statements import Folder, Membership, sign_statement
from commander.backend.limits import PARTS
from commander.backend.storage import schema
from commander.codec import encode
from commander.errors import CommanderError, Unreachable
from commander.ids import FolderUid, RecordUid, new_uid
from commander.vault.state import Place
from commander.wire import calls
from commander.wire.records import RecordData
from commander.wire.requests import sign_request
from tests.support.backend_server import BackendServer, Person, changed, refused, send

pytestmark = pytest.mark.integration


def record_commit(person: Person, folder: str, uid: str = "") -> calls.Commit:
    """A commit with one new record (or the next revision of one)."""
    draft = person.draft()
    draft.put_record(
        RecordUid(uid or new_uid()), RecordData.create("login", "x"), Place(FolderUid(folder), "")
    )
    return draft.commit()


async def patient(person: Person, commit: calls.Commit) -> calls.CommitAnswer:
    """Commit however busy the machine is: who is told that too many wait, before the turn, comes again."""
    while True:
        try:
            return await person.api.call(calls.COMMIT, commit, timeout_s=150)
        except Unreachable as error:
            if error.message != "too many writes are waiting":
                raise


async def stored(server: BackendServer, table: str) -> int:
    """How many rows there are."""

    path = server.core.database.path
    found: Any = (await schema.describe(path))[table]
    return int(found)


async def test_commit_sent_again_is_refused_even_after_a_restart_of_memory(
    server: BackendServer, admin: Person
) -> None:
    """Nonces of writes are in the store, so that forgetting them in memory opens nothing."""
    root = admin.vault.view.root
    signed = sign_request(
        admin.device.signing_key(), method="POST", path=calls.PREFIX + "commit",
        principal=admin.device.device, session=admin.session, time=int(server.clock.now()),
        body=encode(record_commit(admin, root)),
    )  # fmt: skip
    assert (await send(server, "commit", signed)).ok
    server.core.guards.nonces.forget()

    assert (await send(server, "commit", signed)).code == Code.REQUEST_REPLAYED
    assert await stored(server, "records") == 1


async def test_last_bad_part_undoes_all_parts_before_it(
    server: BackendServer, admin: Person
) -> None:
    """Statements, folders and records of a refused commit are neither stored nor in memory."""
    draft = admin.draft()
    folder = FolderUid(new_uid())
    draft.state(Folder(folder, admin.account.user, False))
    draft.add_key("folder", folder)
    draft.put_folder(folder, folder, "F", "")
    draft.put_record(RecordUid(new_uid()), RecordData.create("login", "x"), Place(folder, ""))
    good = draft.commit()
    bad = changed(good, records=(changed(good.records[0], payload=b"y" * 256),))
    before, seq = await stored(server, "statements"), server.core.state.seq

    with refused(Code.SEAL_BROKEN):
        await admin.call(calls.COMMIT, bad)

    assert await stored(server, "statements") == before
    assert server.core.state.seq == seq
    assert server.core.state.folders.get(folder) is None
    assert (await admin.call(calls.COMMIT, good)).log_seq == seq + 1


async def test_second_of_two_commits_at_one_head_is_told_that_the_log_moved(
    server: BackendServer, admin: Person
) -> None:
    """The loser signs again; a statement that does not follow at all is another refusal."""

    def folder_commit() -> calls.Commit:
        draft = admin.draft()
        draft.state(Folder(FolderUid(new_uid()), admin.account.user, False))
        return draft.commit()

    first, second = folder_commit(), folder_commit()
    await admin.call(calls.COMMIT, first)

    with refused(Code.LOG_MOVED):
        await admin.call(calls.COMMIT, second)
    state = server.core.state
    body = Folder(FolderUid(new_uid()), admin.account.user, False)
    for seq, previous in ((state.seq + 2, state.head), (state.seq + 1, bytes(32))):
        statement = sign_statement(
            body, seq=seq, prev_hash=previous, time=int(server.clock.now()),
            signer=admin.user, key=admin.account.identity.sign,
        )  # fmt: skip
        with refused(Code.STATEMENT_CHAIN):
            await admin.call(calls.COMMIT, calls.Commit(statements=(statement,)))
    await admin.vault.sync()
    await admin.call(calls.COMMIT, folder_commit())


async def test_statements_of_others_and_of_other_times_are_refused(
    server: BackendServer, admin: Person
) -> None:
    """A device sends its own user's statements, of now: nobody profits from an old share."""
    bob = await server.add_person(admin, "bob@example.org")
    await admin.vault.sync()
    draft = admin.draft()
    draft.state(Folder(FolderUid(new_uid()), admin.account.user, False))
    late = admin.draft()
    late.time -= 121
    late.state(Folder(FolderUid(new_uid()), admin.account.user, False))

    with refused(Code.STATEMENT_NOT_ENTITLED):
        await bob.call(calls.COMMIT, draft.commit())
    with refused(Code.REQUEST_STALE):
        await admin.call(calls.COMMIT, late.commit())
    await admin.call(calls.COMMIT, draft.commit())


async def test_user_cannot_give_themselves_a_role(server: BackendServer, admin: Person) -> None:
    """The log's rules hold at the server's door."""
    bob = await server.add_person(admin, "bob@example.org")
    role = next(iter(bob.vault.state.roles.values()))
    draft = bob.draft()
    draft.state(Membership(role.role, bob.account.user))

    with refused(Code.NOT_ADMINISTRATOR):
        await bob.call(calls.COMMIT, draft.commit())


async def test_oversized_commits_are_refused(server: BackendServer, admin: Person) -> None:
    """Too many parts are refused by count, before any of them is looked at."""
    commit = calls.Commit(removed_clients=("x",) * (PARTS + 1))

    with refused(Code.TOO_LARGE):
        await admin.call(calls.COMMIT, commit)


async def test_thousand_writers_of_one_record_leave_as_many_revisions_as_were_acknowledged(
    server: BackendServer, admin: Person
) -> None:
    """Each race has one winner, the others are told; the chain of what is stored is whole."""
    record = await admin.vault.create_record(RecordData.create("login", "x"))
    acknowledged = 1
    losers = set()
    for _ in range(20):
        commits = [record_commit(admin, admin.vault.view.root, record.uid) for _ in range(50)]
        outcomes = await asyncio.gather(
            *(patient(admin, commit) for commit in commits), return_exceptions=True
        )
        acknowledged += sum(isinstance(outcome, calls.CommitAnswer) for outcome in outcomes)
        losers |= {error.code for error in outcomes if isinstance(error, CommanderError)}
        await admin.vault.sync()

    history = await admin.vault.history(record.uid)

    assert acknowledged == 21
    assert losers == {Code.REVISION_CONFLICT}
    assert [found.revision for found in history] == list(range(1, acknowledged + 1))
    assert not admin.vault.problems


async def test_thousand_writers_of_their_own_records_are_all_stored(
    server: BackendServer, admin: Person
) -> None:
    """Nothing is lost and nothing doubled when all write at once."""
    root = admin.vault.view.root
    commits = [record_commit(admin, root) for _ in range(1000)]

    outcomes = await asyncio.gather(
        *(patient(admin, commit) for commit in commits), return_exceptions=True
    )

    won = sum(isinstance(outcome, calls.CommitAnswer) for outcome in outcomes)
    assert await stored(server, "records") == won
    assert won == 1000
