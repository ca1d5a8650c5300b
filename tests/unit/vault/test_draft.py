from __future__ import annotations

import pytest

from commander.clock import ManualClock
from commander.errors import NotFound, Refused
from commander.ids import RecordUid, new_uid
from commander.vault.draft import Author, Draft
from commander.vault.session import Vault
from commander.vault.state import Place
from commander.wire import calls
from commander.wire.records import RecordData
from tests.support.memory_server import MemoryServer
from tests.support.vaults import first_vault


@pytest.fixture
async def vault() -> Vault:
    clock = ManualClock()
    return await first_vault(MemoryServer(clock), clock)


def draft_of(vault: Vault) -> Draft:
    login = vault.login
    author = Author(vault.user, vault.device, login.identity.sign, login.device.signing_key())
    return Draft(vault._replica, author, now=vault.now)


async def test_empty_draft_is_an_empty_commit(vault: Vault) -> None:
    """And has not landed anywhere."""
    draft = draft_of(vault)

    assert draft.is_empty
    assert draft.commit() == calls.Commit()
    assert not draft.is_landed()


async def test_thing_is_written_once_in_a_draft(vault: Vault) -> None:
    """Two revisions in one change would not follow each other."""
    draft = draft_of(vault)
    uid, place = RecordUid(new_uid()), Place(vault.view.root)
    draft.put_record(uid, RecordData.create("login", "x"), place)

    with pytest.raises(Refused):
        draft.put_record(uid, RecordData.create("login", "y"), place)


async def test_key_that_nobody_granted_is_missing(vault: Vault) -> None:
    """Code 3, with what it is a key of."""
    with pytest.raises(NotFound, match="folder"):
        draft_of(vault).key_of("folder", "A" * 22)


async def test_landed_draft_is_recognised_by_its_seals(vault: Vault) -> None:
    """A twin with the same content but other nonces is another change."""
    uid, place = RecordUid(new_uid()), Place(vault.view.root)
    drafts = [draft_of(vault), draft_of(vault)]
    for draft in drafts:
        draft.put_record(uid, RecordData.create("login", "x"), place)
    await vault.remote.call(calls.COMMIT, drafts[0].commit())
    await vault.sync()

    assert drafts[0].is_landed()
    assert not drafts[1].is_landed()
