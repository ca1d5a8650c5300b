from __future__ import annotations

import pytest

from commander.errors import (
    Conflict,
    Interrupted,
    InvalidInput,
    NotFound,
    Refused,
    UsageError,
)
from commander.plugin.results import Table, Unchanged
from commander.plugin.testing import check_plugin
from plugins.enterprise import plugin
from plugins.enterprise.roles import enforcement_candidates
from tests.support.command_world import World

LAUNCH = "ALLOW_LAUNCH_PAM_TUNNELS"


def statements(world: World) -> int:
    return len(world.server.stored.statements)


async def role(world: World, name: str) -> dict[str, object]:
    shown = await world.json(plugin, f"enterprise-role {name}")
    assert isinstance(shown, dict)
    return shown


def test_all_declarations_hold() -> None:
    """Every handler exists and every example parses."""
    assert len(check_plugin(plugin)) == 3


async def test_a_role_is_made_with_policies_and_members_at_once(world: World) -> None:
    """One transaction makes the role, and a role without flags is shown."""
    await world.other("bob@example.org")
    commits = world.server.calls_made.count("commit")

    made = await world.json(
        plugin,
        f'er Dev --add --enforcement "{LAUNCH}":true --enforcement "allow_launch_rbi:True" '
        "-au bob@example.org -au ann@example.org",
    )

    assert world.server.calls_made.count("commit") == commits + 1
    uid = made["roles"][0]["role_uid"]
    assert await role(world, "Dev") == {
        "role_name": "Dev", "role_uid": uid, "user_count": 2,
        "users": ["ann@example.org", "bob@example.org"], "enforcement_count": 2,
        "enforcements": [LAUNCH, "ALLOW_LAUNCH_RBI"],
    }  # fmt: skip
    assert (await role(world, uid))["role_name"] == "Dev"


async def test_all_of_a_call_happens_or_none(world: World) -> None:
    """A bad key, a taken name or an unknown user leaves every named role as it was."""
    await world.run(plugin, "er Dev --add")
    before = statements(world)

    with pytest.raises(InvalidInput, match="is not an enforcement key"):
        await world.run(plugin, "er Dev --enforcement ALLOW_EVERYTHING:true --name Ops")
    with pytest.raises(InvalidInput, match="is not a value"):
        await world.run(plugin, f"er Dev --enforcement {LAUNCH}:maybe")
    with pytest.raises(Conflict):
        await world.run(plugin, f"er New Dev --add --enforcement {LAUNCH}:true")
    with pytest.raises(NotFound):
        await world.run(plugin, f"er Dev Nobody --enforcement {LAUNCH}:true")
    with pytest.raises(NotFound):
        await world.run(plugin, f"er Dev --enforcement {LAUNCH}:true -au carl@example.org")
    assert statements(world) == before


async def test_several_kinds_of_change_go_together(world: World) -> None:
    """Policy, name and members of a role in one call; the same again is unchanged."""
    await world.run(plugin, f"er Dev --add --enforcement {LAUNCH}:true -au ann@example.org")
    await world.other("bob@example.org")

    line = (
        f"--enforcement {LAUNCH}:false --enforcement ALLOW_PAM_GATEWAY:true "
        "-au bob@example.org -ru ann@example.org"
    )
    await world.run(plugin, f"er Dev --name Ops {line}")
    shown = await role(world, "Ops")
    assert (shown["users"], shown["enforcements"]) == (["bob@example.org"], ["ALLOW_PAM_GATEWAY"])
    again = await world.run(plugin, f"er Ops {line}")
    assert isinstance(again, Unchanged)


async def test_if_missing_twice_changes_nothing(world: World) -> None:
    """Also after later lines of the same file gave the role more; what is missing is a conflict."""
    line = f"er Dev --add --if-missing --enforcement {LAUNCH}:true"
    await world.run(plugin, line)
    await world.run(plugin, "er Dev --enforcement ALLOW_LAUNCH_RBI:true -au ann@example.org")
    before = statements(world)

    for _ in range(2):
        assert isinstance(await world.run(plugin, line), Unchanged)
    with pytest.raises(Conflict, match="ALLOW_PAM_ROTATION false"):
        await world.run(plugin, f"{line} --enforcement ALLOW_PAM_ROTATION:true")
    await world.other("bob@example.org")
    before = statements(world)
    with pytest.raises(Conflict, match="without 1 of the users"):
        await world.run(plugin, f"{line} -au bob@example.org")
    with pytest.raises(Conflict):
        await world.run(plugin, "er Dev --add")
    assert statements(world) == before


async def test_a_copy_has_the_policies_and_not_the_members(world: World) -> None:
    """Changes of the same call go to the copy."""
    await world.run(plugin, f"er Dev --add --enforcement {LAUNCH}:true -au ann@example.org")

    await world.run(plugin, "er Dev --copy --name Ops --enforcement ALLOW_LAUNCH_RBI:true")
    shown = await role(world, "Ops")
    assert (shown["users"], shown["enforcements"]) == ([], [LAUNCH, "ALLOW_LAUNCH_RBI"])
    assert (await role(world, "Dev"))["enforcements"] == [LAUNCH]
    again = await world.run(plugin, "er Dev --copy --name Ops --if-missing")
    assert isinstance(again, Unchanged)


async def test_deleting_asks(world: World) -> None:
    """Without a terminal it takes -f; a no changes nothing."""
    await world.run(plugin, "er Dev Ops --add")

    with pytest.raises(UsageError):
        await world.run(plugin, "er Dev --delete")
    with pytest.raises(Interrupted):
        await world.run(plugin, "er Dev --delete", "n")
    removed = await world.json(plugin, "er Dev Ops --delete -f")
    assert [item["outcome"] for item in removed["roles"]] == ["removed", "removed"]
    with pytest.raises(NotFound):
        await world.run(plugin, "er Dev")


@pytest.mark.parametrize(
    "words",
    [
        "Dev --delete -f --name Ops",
        "Dev --delete --add",
        "Dev --add --name Ops",
        "Dev --add -ru ann@example.org",
        "Dev --copy",
        "Dev Ops --name Other",
        "Dev --if-missing -au ann@example.org",
        "Dev -au ann@example.org -ru ann@example.org",
        f"Dev --enforcement {LAUNCH}:true --enforcement {LAUNCH}:false",
        "--add",
    ],
)
async def test_flags_that_do_not_go_together_are_refused(world: World, words: str) -> None:
    """Nothing is silently left out."""
    before = statements(world)
    with pytest.raises(UsageError):
        await world.run(plugin, f"er {words}")
    assert statements(world) == before


async def test_names_that_differ_in_case_only_are_ambiguous(world: World) -> None:
    """The exact name wins; otherwise the candidates are listed."""
    await world.run(plugin, "er dev DEV --add")

    assert (await role(world, "DEV"))["role_name"] == "DEV"
    with pytest.raises(Conflict, match="names 2 roles"):
        await world.run(plugin, "er Dev")
    with pytest.raises(InvalidInput):
        await world.run(plugin, 'er " x" --add')


async def test_only_administrators_change_roles(world: World) -> None:
    """Another user is refused by code, and may look."""
    bob = await world.other("bob@example.org")

    with pytest.raises(Refused) as refused:
        await bob.run(plugin, "er Dev --add")
    assert refused.value.code == "not-administrator"
    shown = await bob.run(plugin, "er")
    assert isinstance(shown, Table)
    assert [row["role_name"] for row in shown.rows] == ["Administrators"]


async def test_completion_offers_every_key(world: World) -> None:
    """As it is written after --enforcement."""
    assert f"{LAUNCH}:true" in list(enforcement_candidates(world.context))
