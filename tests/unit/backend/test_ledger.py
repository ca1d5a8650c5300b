from __future__ import annotations

import pytest

from commander.authority.refusals import Code
from commander.authority.statements import ROOT, Folder, Kind
from commander.backend.ledger import Ledger, check_time, extend
from commander.errors import Refused
from commander.ids import FolderUid, new_uid
from commander.wire.commands import Head
from tests.support.enterprise import START, Enterprise


@pytest.fixture
def acme() -> Enterprise:
    return Enterprise()


def code_of(refused: pytest.ExceptionInfo[Refused]) -> str:
    return refused.value.code


def test_extending_leaves_the_state_that_was_given_as_it_was(acme: Enterprise) -> None:
    """Who holds the old state sees nothing of a commit that may yet fail."""
    folder = FolderUid(new_uid())
    admin = acme.admin
    statement = acme.sign(Folder(folder, admin.user, False), admin.user, admin.identity)
    before = acme.state.seq

    after = extend(acme.state, [statement], signers=(admin.user,), now=START)

    assert after.folders.get(folder) is not None
    assert after.seq == before + 1
    assert acme.state.folders.get(folder) is None
    assert (acme.state.seq, len(acme.state.digests)) == (before, before + 1)
    assert folder not in acme.state.kinds


def test_ending_a_fact_in_the_copy_does_not_end_it_in_the_original(acme: Enterprise) -> None:
    """A revocation that is not committed yet holds for nobody."""
    person = acme.add_person("bob@acme.example")
    copy = acme.state.copy()

    acme.revoke(Kind.DEVICE, person.device)

    assert acme.state.devices.get(person.device) is None
    assert copy.devices.get(person.device) is not None


def test_nothing_to_extend_is_the_same_state(acme: Enterprise) -> None:
    """So that a commit without statements costs no copy."""
    assert extend(acme.state, [], signers=(), now=START) is acme.state


def test_statement_behind_the_head_of_others_or_of_another_time_is_refused(
    acme: Enterprise,
) -> None:
    """In this order, each with its code."""
    admin = acme.admin
    statement = acme.sign(
        Folder(FolderUid(new_uid()), admin.user, False), admin.user, admin.identity
    )

    with pytest.raises(Refused) as refused:
        extend(acme.state, acme.statements, signers=(ROOT,), now=START)
    assert code_of(refused) == Code.LOG_MOVED
    with pytest.raises(Refused) as refused:
        extend(acme.state, [statement], signers=(ROOT,), now=START)
    assert code_of(refused) == Code.STATEMENT_NOT_ENTITLED
    with pytest.raises(Refused) as refused:
        extend(acme.state, [statement], signers=(admin.user,), now=START + 121)
    assert code_of(refused) == Code.REQUEST_STALE
    extend(acme.state, [statement], signers=(admin.user,), now=START + 120)


def test_listeners_hear_of_each_new_head_until_they_end(acme: Enterprise) -> None:
    """A publication of the same state is no news."""
    ledger, heads = Ledger(acme.state), list[Head]()
    end = ledger.subscribe(heads.append)
    newer = acme.state.copy()
    newer.seq += 1

    ledger.publish(acme.state)
    ledger.publish(newer)
    end()
    end()
    ledger.publish(acme.state)

    assert heads == [Head(newer.seq, newer.head)]
    assert ledger.state is acme.state


@pytest.mark.parametrize(("off", "fine"), [(0, True), (120, True), (-120, True), (121, False)])
def test_time_may_be_two_minutes_off(off: int, fine: bool) -> None:
    """The message says by how much it is more."""
    if fine:
        check_time(START + off, START, "x")
        return
    with pytest.raises(Refused, match="121 s off") as refused:
        check_time(START + off, START, "x")
    assert code_of(refused) == Code.REQUEST_STALE
