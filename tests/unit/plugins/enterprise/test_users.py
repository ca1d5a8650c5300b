from __future__ import annotations

import pytest

from commander.errors import Conflict, Interrupted, NotFound, Refused, UsageError
from commander.plugin.results import Unchanged
from plugins.enterprise import plugin
from tests.support.command_world import World


async def test_users_are_shown_with_roles(world: World) -> None:
    """One as a document, all as a table."""
    await world.other("bob@example.org")

    shown = await world.json(plugin, "eu ann@example.org")
    assert shown == {
        "email": "ann@example.org", "user_uid": world.vault.user, "is_administrator": True,
        "roles": ["Administrators"], "device_count": 1,
    }  # fmt: skip
    rows = await world.json(plugin, "enterprise-user")
    assert [row["email"] for row in rows] == ["ann@example.org", "bob@example.org"]
    with pytest.raises(NotFound):
        await world.run(plugin, "eu carl@example.org")


async def test_roles_are_given_and_taken(world: World) -> None:
    """Of several users at once; the same again is unchanged."""
    await world.other("bob@example.org")
    await world.run(plugin, "er Dev Ops --add")

    await world.run(plugin, "eu bob@example.org ann@example.org --add-role Dev")
    await world.run(plugin, "eu bob@example.org --add-role Ops --remove-role Dev")
    assert (await world.json(plugin, "eu bob@example.org"))["roles"] == ["Ops"]
    again = await world.run(plugin, "eu bob@example.org --add-role Ops --remove-role Dev")
    assert isinstance(again, Unchanged)
    with pytest.raises(UsageError):
        await world.run(plugin, "eu bob@example.org --add-role Ops --remove-role Ops")
    with pytest.raises(NotFound):
        await world.run(plugin, "eu bob@example.org --add-role Nothing")
    with pytest.raises(UsageError):
        await world.run(plugin, "eu --add-role Ops")


async def test_an_account_is_ended_after_a_question(world: World) -> None:
    """The question says what is lost; one's own account stays."""
    bob = await world.other("bob@example.org")
    await bob.vault.create_shared_folder("Bob's")

    with pytest.raises(UsageError):
        await world.run(plugin, "eu bob@example.org --delete")
    with pytest.raises(Interrupted):
        await world.run(plugin, "eu bob@example.org --delete", "n")
    ended = await world.json(plugin, "eu bob@example.org --delete", "y")
    assert ended["removed"] == [bob.vault.user]
    assert world.server.state().users.get(bob.vault.user) is None
    with pytest.raises(Conflict):
        await world.run(plugin, "eu ann@example.org --delete -f")
    with pytest.raises(UsageError):
        await world.run(plugin, "eu ann@example.org --delete -f --add-role X")


async def test_only_administrators_end_accounts(world: World) -> None:
    """Another user is refused by code."""
    bob = await world.other("bob@example.org")

    with pytest.raises(Refused) as refused:
        await bob.run(plugin, "eu ann@example.org --delete -f")
    assert refused.value.code == "not-administrator"


async def test_the_enterprise_in_numbers(world: World) -> None:
    """What a person sees first, with the root to compare."""
    shown = await world.json(plugin, "enterprise-info")

    assert shown["enterprise_name"] == "Example"
    assert shown["administrators"] == ["ann@example.org"]
    assert shown["log_position"] == world.server.state().seq
    assert (shown["user_count"], shown["role_count"], shown["device_count"]) == (1, 1, 1)


async def test_every_table_has_its_keys(world: World) -> None:
    """Stable keys for scripts, and a text that filters rows."""
    bob = await world.other("bob@example.org")
    application = await world.vault.applications.create("Infra")
    await world.vault.applications.add_gateway(application.uid, "Berlin")

    users = await world.json(plugin, "ei --users bob@")
    assert [row["user_uid"] for row in users] == [bob.vault.user]
    (role,) = await world.json(plugin, "ei --roles")
    assert role["user_count"] == 1
    devices = await world.json(plugin, "ei --devices")
    assert [(row["email"], row["device_name"]) for row in devices] == [
        ("ann@example.org", "laptop"), ("bob@example.org", "desktop"),
    ]  # fmt: skip
    assert await world.json(plugin, "ei --applications") == [
        {"app_name": "Infra", "app_uid": application.uid, "owner": "ann@example.org",
         "folders": 0, "gateways": 0}
    ]  # fmt: skip
    (gateway,) = await world.json(plugin, "ei --gateways")
    assert (gateway["gateway_name"], gateway["status"]) == ("Berlin", "pending")
    assert await world.json(plugin, "ei --gateways nothing") == []
    with pytest.raises(UsageError):
        await world.run(plugin, "ei --users --roles")
