from __future__ import annotations

import pytest

from commander.errors import Conflict, InvalidInput, NotFound, Refused, UsageError
from commander.plugin.results import Document, Done, Table, Unchanged
from commander.plugin.testing import check_plugin
from commander.wire.records import RecordData
from plugins.secrets_manager import plugin
from tests.support.command_world import World


def test_all_declarations_hold() -> None:
    """Every handler exists and every example parses."""
    assert len(check_plugin(plugin)) == 16


async def test_an_application_is_made_listed_and_shown(world: World) -> None:
    """What is made is there by name, with stable keys."""
    made = await world.json(plugin, "secrets-manager app create CI")

    assert made["status"] == "done"
    (row,) = await world.json(plugin, "sm app list")
    assert row == {
        "app_name": "CI", "app_uid": made["app_uid"], "records": 0, "folders": 0, "devices": 0,
        "gateways": 0, "last_access": None,
    }  # fmt: skip
    shown = await world.json(plugin, "secrets app get ci")
    assert shown["owner"] == "ann@example.org"
    assert (shown["shares"], shown["client_devices"]) == ([], [])


async def test_a_second_application_of_a_name_is_a_conflict(world: World) -> None:
    """Names are unique, and --if-missing makes no second one however often it runs."""
    await world.run(plugin, "sm app create CI")

    for _ in range(2):
        result = await world.run(plugin, "sm app add CI --if-missing")
        assert isinstance(result, Unchanged)
    with pytest.raises(Conflict):
        await world.run(plugin, "sm app create CI")
    assert len(world.vault.applications.all()) == 1


async def test_a_name_with_control_characters_is_refused(world: World) -> None:
    """What would break a terminal never becomes a name."""
    with pytest.raises(InvalidInput):
        await world.run(plugin, 'sm app create "a\nb"')


async def test_an_ambiguous_name_lists_the_candidates(world: World) -> None:
    """Two applications that differ in case only are told apart by UID."""
    first = await world.vault.applications.create("Build")
    await world.vault.applications.create("BUILD")

    with pytest.raises(Conflict, match=first.uid):
        await world.run(plugin, "sm app get build")
    shown = await world.run(plugin, f"sm app get {first.uid}")
    assert isinstance(shown, Document)
    assert shown.values["app_name"] == "Build"


async def test_removing_asks_and_then_ends_it(world: World) -> None:
    """Without a terminal it takes -f; a no leaves everything as it was."""
    await world.run(plugin, "sm app create CI")

    with pytest.raises(UsageError):
        await world.run(plugin, "sm app remove CI")
    result = await world.run(plugin, "sm app remove CI", "y")
    assert isinstance(result, Done)
    assert world.vault.applications.all() == []
    with pytest.raises(NotFound):
        await world.run(plugin, "sm app rm CI -f")


async def test_without_the_policy_no_application_is_made(world: World) -> None:
    """A user with no role is refused by the code of the missing policy."""
    bob = await world.other("bob@example.org")

    with pytest.raises(Refused) as refused:
        await bob.run(plugin, "sm app create CI")
    assert refused.value.code == "policy-missing"
    listed = await bob.run(plugin, "sm app list")
    assert isinstance(listed, Table)
    assert not listed.rows


async def test_folders_are_shared_and_taken_back(world: World) -> None:
    """Adding twice changes nothing; --editable lets it write; removing twice changes nothing."""
    folder = await world.vault.create_shared_folder("Infra")
    await world.run(plugin, "sm app create CI")

    added = await world.json(plugin, "sm share add --app CI --secret Infra")
    again = await world.json(plugin, "sm share add --app CI --secret Infra")
    assert (added["status"], added["added"], again["status"]) == ("done", [folder.uid], "unchanged")
    updated = await world.json(plugin, "sm share update -a CI -s Infra -e")
    assert updated["status"] == "done"
    shown = await world.json(plugin, "sm app get CI")
    assert shown["shares"] == [
        {"share_type": "FOLDER", "uid": folder.uid, "title": "Infra", "editable": True,
         "expires": None}
    ]  # fmt: skip
    removed = await world.json(plugin, "sm secret remove --app CI --secret Infra -f")
    assert "keys are not changed" in world.context.console.notices[-1]
    again = await world.json(plugin, "sm share rm --app CI --secret Infra -f")
    assert (removed["removed"], again["status"]) == ([folder.uid], "unchanged")


async def test_only_shared_folders_are_shared(world: World) -> None:
    """A record or a private folder is refused, and nothing of the same call is done."""
    folder = await world.vault.create_shared_folder("Infra")
    await world.vault.create_folder("Mine")
    data = _record("Orders DB")
    await world.vault.create_record(data, folder.uid)
    application = await world.vault.applications.create("CI")

    with pytest.raises(UsageError, match="is a record"):
        await world.run(plugin, 'sm share add --app CI --secret Infra --secret "Orders DB"')
    with pytest.raises(InvalidInput):
        await world.run(plugin, "sm share add --app CI --secret Mine")
    with pytest.raises(NotFound):
        await world.run(plugin, "sm share add --app CI --secret Nowhere")
    assert world.vault.applications.folders_of(application.uid) == []


def _record(title: str) -> RecordData:
    return RecordData.create("login", title)
