from __future__ import annotations

from dataclasses import replace

import pytest

from commander.authority.decide import Refuse
from commander.authority.refusals import Code
from commander.authority.statements import Kind, Right
from commander.gateway.rights import Rights, ends_at, judge_rights, judge_user
from tests.support.gateway_world import World

NOW = 1_800_000_500.0


@pytest.fixture
def rights(world: World) -> Rights:
    """What Bob's tunnel rests on."""
    return Rights(
        world.gateway, world.bob.user, world.bob.device, world.record.uid, world.folder,
        world.configuration.uid, world.folder,
    )  # fmt: skip


def code_of(refusal: Refuse | None) -> Code | None:
    """The code, or None for yes."""
    return refusal.code if refusal else None


def test_all_rights_together_let_it_through(world: World, rights: Rights) -> None:
    """Policy, user's share, application's share, living gateway."""
    assert judge_rights(world.enterprise.state, rights, now=NOW) is None


def test_the_owner_needs_the_policy_too(world: World, rights: Rights) -> None:
    """Owning the folder does not replace the policy."""
    world.enterprise.revoke(Kind.MEMBERSHIP, world.launchers, world.bob.user)

    assert code_of(judge_rights(world.enterprise.state, rights, now=NOW)) == Code.POLICY_MISSING


def test_the_configurations_folder_counts(world: World, rights: Rights) -> None:
    """An application that lost the configuration's folder may not go on."""
    other = world.add_folder()
    moved = replace(rights, configuration_folder=other)
    assert judge_rights(world.enterprise.state, moved, now=NOW) is None

    world.enterprise.revoke(Kind.ACCESS, other, world.application)

    assert code_of(judge_rights(world.enterprise.state, moved, now=NOW)) == Code.ACCESS_MISSING


def test_the_user_is_judged_without_a_record(world: World) -> None:
    """Only what speaks of the user alone is said before a record is read."""
    state = world.enterprise.state
    assert judge_user(state, world.bob.device, now=NOW) is None

    world.enterprise.revoke(Kind.USER, world.bob.user)

    assert code_of(judge_user(state, world.bob.device, now=NOW)) == Code.USER_REVOKED


def test_the_first_end_counts(world: World, rights: Rights) -> None:
    """Of the user's and the application's shares the one that ends first; none: never."""
    state = world.enterprise.state
    assert ends_at(state, rights) == 0

    world.enterprise.share(
        world.alice, world.folder, world.bob.user, Right.VIEW, not_after=2000000200
    )
    assert ends_at(state, rights) == 2000000200
    world.enterprise.share(
        world.alice, world.folder, world.application, Right.VIEW, kind="application",
        not_after=2000000100,
    )  # fmt: skip
    assert ends_at(state, rights) == 2000000100


def test_an_owners_share_with_itself_ends_nothing(world: World) -> None:
    """Who owns the folder keeps it when a share to the same person ends."""
    rights = Rights(
        world.gateway, world.alice.user, world.alice.device, world.record.uid, world.folder,
        world.configuration.uid, world.folder,
    )  # fmt: skip
    world.enterprise.share(
        world.alice, world.folder, world.alice.user, Right.VIEW, not_after=2000000200
    )

    assert ends_at(world.enterprise.state, rights) == 0
