from __future__ import annotations

from commander.authority.state import Facts
from commander.authority.statements import Kind, Revoke, Right
from tests.support.enterprise import Enterprise


def test_a_fact_holds_between_its_positions() -> None:
    """A later statement for the same key ends the one before, and a position asks for its time."""
    facts: Facts[str] = Facts()
    facts.add("role", "first", 1)
    facts.add("role", "second", 5)

    assert [facts.get("role", at) for at in (0, 1, 4, 5, 9)] == [
        None, "first", "first", "second", "second",
    ]  # fmt: skip
    assert facts.get("role") == "second"
    assert (list(facts.values()), list(facts.values(4))) == (["second"], ["first"])


def test_ending_twice_is_told() -> None:
    """Only what holds can end."""
    facts: Facts[str] = Facts()
    facts.add("role", "first", 1)

    assert [facts.end("role", 3), facts.end("role", 4), facts.end("other", 4)] == [
        True, False, False,
    ]  # fmt: skip
    assert facts.get("role") is None
    assert (facts.known("role"), facts.known("other")) == (True, False)


def test_an_ended_fact_is_still_the_latest() -> None:
    """What a revoked producer signed is judged by the key it had."""
    facts: Facts[str] = Facts()
    facts.add("gateway", "first key", 1)
    facts.end("gateway", 5)

    assert (facts.get("gateway"), facts.latest("gateway")) == (None, "first key")
    assert facts.latest("another") is None


def test_a_copy_changes_apart() -> None:
    """What is tried on a copy leaves the state as it was."""
    enterprise = Enterprise()
    state = enterprise.state
    before = state.seq
    copy = state.copy()

    role = enterprise.add_role("Later", {})

    assert (copy.seq, copy.roles.get(role)) == (before, None)
    assert state.seq == before + 1
    assert role not in copy.kinds
    assert len(copy.digests) == before + 1


def test_people_are_found_by_what_they_have() -> None:
    """By user or device UID, by e-mail; roles and shares of one."""
    enterprise = Enterprise()
    state, admin = enterprise.state, enterprise.admin
    bob = enterprise.add_person("bob@acme.example")
    folder = enterprise.add_folder(admin)
    enterprise.share(admin, folder, bob.user, Right.VIEW)

    assert state.user_of(bob.user) == state.user_of(bob.device) == state.users.get(bob.user)
    assert state.user_of("nobody") is None
    assert state.user_by_email("bob@acme.example") == state.users.get(bob.user)
    assert state.user_by_email("carl@acme.example") is None
    assert [role.name for role in state.roles_of(admin.user)] == ["Administrators"]
    assert state.roles_of(bob.user) == []
    (access,) = state.folder_members(folder)
    assert list(state.folders_of(bob.user)) == [access]


def test_an_ended_role_is_nobodys() -> None:
    """A membership outlives its role in the log, and gives nothing."""
    enterprise = Enterprise()
    enterprise.revoke(Kind.ROLE, enterprise.role)

    assert enterprise.state.roles_of(enterprise.admin.user) == []


def test_a_revoke_ends_what_it_names() -> None:
    """A membership and a share need both names; what is not there, or never ends, is told."""
    enterprise = Enterprise()
    state, admin = enterprise.state, enterprise.admin

    assert not state.end(Revoke(Kind.MEMBERSHIP, enterprise.role, "nobody"), state.seq + 1)
    assert state.end(Revoke(Kind.MEMBERSHIP, enterprise.role, admin.user), state.seq + 1)
    assert state.end(Revoke(Kind.DEVICE, admin.device, ""), state.seq + 1)
    assert not state.end(Revoke(Kind.GENESIS, "x", ""), state.seq + 1)
