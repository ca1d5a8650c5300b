from __future__ import annotations

import pytest

from commander.authority.statements import Right
from commander.errors import Conflict, Interrupted, InvalidInput, NotFound, UsageError
from commander.plugin.command import ArgumentKind
from commander.plugin.results import Document, Done, Unchanged
from plugins.vault import completion, plugin
from plugins.vault.plugin import commander_completions
from tests.support.command_world import World


@pytest.fixture
async def filled(world: World) -> World:
    for line in (
        "mkdir -sf Infrastructure",
        "mkdir Infrastructure/Databases",
        "record-add -t 'Orders DB' -rt pamDatabase --folder Infrastructure/Databases pamHostname=db:5432",
        "record-add -t notes -rt encryptedNotes",
    ):
        await world.run(plugin, line)
    return world


async def names(world: World, line: str) -> list[str]:
    return [row["name"] for row in await world.json(plugin, line)]


async def test_listing_shows_folders_then_records(filled: World) -> None:
    """Here, below a folder, recursively, one kind only."""
    assert await names(filled, "ls") == ["Infrastructure/", "notes"]
    assert await names(filled, "ls Infrastructure/Databases") == ["Orders DB"]
    assert await names(filled, "ls -R -r") == ["notes", "Orders DB"]
    assert await names(filled, "ls -f") == ["Infrastructure/"]
    assert await names(filled, "ls -R Infrastructure") == ["Databases/", "Orders DB"]


async def test_tree_is_drawn_and_nested(filled: World) -> None:
    """A drawing for people, nested data for scripts."""
    shown = await filled.run(plugin, "tree -r -v")

    assert isinstance(shown, Document)
    lines = shown.text.splitlines()
    assert lines[0] == "My Vault"
    assert lines[1].startswith("|-- Infrastructure [shared]")
    assert "Orders DB [pamDatabase]" in lines[3]
    nested = await filled.json(plugin, "tree Infrastructure -r")
    assert nested["folders"][0]["records"][0]["title"] == "Orders DB"


async def test_current_folder_is_where_names_are_looked_up(filled: World) -> None:
    """cd by path, .., / and back to the root; the prompt's path follows."""
    await filled.run(plugin, "cd Infrastructure/Databases")
    assert list(filled.context.location.path) == ["Infrastructure", "Databases"]
    assert await names(filled, "ls") == ["Orders DB"]
    shown = await filled.run(plugin, "pwd")
    assert isinstance(shown, Document)
    assert shown.text == "/Infrastructure/Databases"
    await filled.run(plugin, "cd ..")
    assert list(filled.context.location.path) == ["Infrastructure"]
    assert await names(filled, "ls /") == ["Infrastructure/", "notes"]
    await filled.run(plugin, "cd")
    assert filled.context.location.folder is None
    with pytest.raises(NotFound):
        await filled.run(plugin, "cd nowhere")


async def test_current_folder_that_was_removed_is_left(filled: World) -> None:
    """The next command runs at the root instead of failing for ever."""
    await filled.run(plugin, "cd Infrastructure/Databases")
    await filled.vault.delete_folder(filled.vault.find_folder("Infrastructure").uid)

    assert await names(filled, "ls") == ["notes"]
    assert filled.context.location.path == ()


async def test_folders_are_made_once(filled: World) -> None:
    """A second one of the name is code 7, or unchanged with --if-missing if it is the same kind."""
    with pytest.raises(Conflict):
        await filled.run(plugin, "mkdir -sf Infrastructure")
    again = await filled.run(plugin, "mkdir -sf Infrastructure --if-missing")
    assert isinstance(again, Unchanged)
    with pytest.raises(Conflict):
        await filled.run(plugin, "mkdir -uf Infrastructure --if-missing")
    with pytest.raises(Conflict, match="nest"):
        await filled.run(plugin, "mkdir -sf Infrastructure/Other")
    with pytest.raises(NotFound):
        await filled.run(plugin, "mkdir nowhere/x")
    with pytest.raises(InvalidInput):
        await filled.run(plugin, "mkdir ..")


async def test_slash_in_a_name_is_doubled(world: World) -> None:
    """`a//b` is one folder named a/b."""
    await world.run(plugin, "mkdir a//b")
    await world.run(plugin, "record-add -t x -rt login --folder a//b login=y")

    assert world.vault.find_record("a//b/x").data.title == "x"
    assert await names(world, "ls") == ["a/b/"]


async def test_removing_a_folder_asks_and_says_how_much(filled: World) -> None:
    """No without an answer, no on n, yes on y or -f."""
    with pytest.raises(UsageError):
        await filled.run(plugin, "rmdir Infrastructure")
    with pytest.raises(Interrupted):
        await filled.run(plugin, "rmdir Infrastructure", "n")
    assert "1 folders and 1 records" in filled.context.console.questions[0]
    await filled.run(plugin, "rmdir Infrastructure", "y")

    assert await names(filled, "ls") == ["notes"]
    with pytest.raises(Conflict):
        await filled.run(plugin, "rmdir / -f")


async def test_records_move_and_are_renamed(filled: World) -> None:
    """Into folders that exist; else one source gets the new name."""
    await filled.run(plugin, "mv notes Infrastructure")
    assert await names(filled, "ls Infrastructure") == ["Databases/", "notes"]
    await filled.run(plugin, "mv Infrastructure/notes Jottings")
    assert await names(filled, "ls Infrastructure -r") == ["Jottings"]
    await filled.run(plugin, "mv Infrastructure/Databases DBs")
    assert filled.vault.find_record("Infrastructure/DBs/Orders DB").data.type == "pamDatabase"
    await filled.run(plugin, "mv Jottings 'Orders DB' /")
    assert await names(filled, "ls -r") == ["Jottings", "Orders DB"]
    with pytest.raises(UsageError):
        await filled.run(plugin, "mv Jottings 'Orders DB' Elsewhere")
    with pytest.raises(NotFound):
        await filled.run(plugin, "mv nothing /")
    with pytest.raises(NotFound):
        await filled.run(plugin, "mv Jottings no/where")


async def test_name_of_a_record_and_a_folder_is_ambiguous(filled: World) -> None:
    """mv asks for the UID; by UID it works."""
    await filled.run(plugin, "mkdir notes")
    uid = filled.vault.find_record("notes").uid

    with pytest.raises(Conflict):
        await filled.run(plugin, "mv notes Infrastructure")
    assert isinstance(await filled.run(plugin, f"mv {uid} Infrastructure"), Done)


async def test_removing_records_asks_by_title(filled: World) -> None:
    """Several at once, all or what was found before."""
    with pytest.raises(Interrupted):
        await filled.run(plugin, "rm notes", "no")
    await filled.run(plugin, "rm notes 'Orders DB'", "y")
    assert "'notes', 'Orders DB'" in filled.context.console.questions[0]

    assert not filled.vault.view.records


async def test_view_only_member_sees_and_is_refused(filled: World) -> None:
    """What is shared is listed; writing has the published code."""
    bob = await filled.other("bob@example.org")
    folder = filled.vault.find_folder("Infrastructure")
    await filled.vault.sharing.share_with_user(folder.uid, bob.vault.user, (Right.VIEW,))
    await bob.vault.sync()

    assert await names(bob, "ls") == ["Infrastructure/"]
    with pytest.raises(Exception, match="does not include edit") as caught:
        await bob.run(plugin, "record-update -r 'Orders DB' -n x")
    assert getattr(caught.value, "code", "") == "right-missing"


async def test_completion_offers_names_of_the_vault(filled: World) -> None:
    """For every kind it declares; nothing without a login."""
    await filled.vault.applications.create("App")
    context = filled.context

    assert list(completion.record_candidates(context)) == ["Orders DB", "notes"]
    assert list(completion.folder_candidates(context)) == [
        "Infrastructure", "Infrastructure/Databases",
    ]  # fmt: skip
    assert list(completion.application_candidates(context)) == ["App"]
    assert list(completion.user_candidates(context)) == ["ann@example.org"]
    assert list(completion.role_candidates(context)) == ["Administrators"]
    assert "login" in completion.record_type_candidates(context)
    assert ArgumentKind.RECORD in commander_completions()
    context.open_vault = None
    for name in ("record", "folder", "application", "user", "role"):
        assert not list(getattr(completion, f"{name}_candidates")(context))
