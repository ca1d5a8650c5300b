from __future__ import annotations

import pytest

from commander.errors import Conflict, InvalidInput, NotFound, Refused, UsageError
from commander.plugin.results import Unchanged
from commander.plugin.testing import check_plugin
from plugins.sharing import plugin
from tests.support.command_world import World

BOB = "bob@example.org"


@pytest.fixture
async def shared(world: World) -> World:
    """A world with a shared folder Infra."""
    await world.vault.create_shared_folder("Infra")
    return world


def test_all_declarations_hold() -> None:
    """Every handler exists and every example parses."""
    assert len(check_plugin(plugin)) == 1


async def test_a_user_is_let_in_and_out(shared: World) -> None:
    """The other user sees the folder while the share holds; each step twice changes nothing."""
    bob = await shared.other(BOB)

    granted = await shared.json(plugin, f"share-folder Infra -e {BOB} -a grant -w")
    again = await shared.run(plugin, f"sf Infra -e {BOB} -w")
    await bob.vault.sync()
    assert (granted["status"], granted["rights"]) == ("done", ["view", "edit"])
    assert isinstance(again, Unchanged)
    assert bob.vault.find_folder("Infra").name == "Infra"
    removed = await shared.json(plugin, f"sf Infra -e {BOB} -a remove")
    assert removed["changed"] == [bob.vault.user]
    again = await shared.run(plugin, f"sf Infra -e {BOB} -a revoke")
    assert isinstance(again, Unchanged)
    await bob.vault.sync()
    with pytest.raises(NotFound):
        bob.vault.find_folder("Infra")


async def test_a_share_ends_by_itself(shared: World) -> None:
    """At the time that was said, whichever way it was said."""
    bob = await shared.other(BOB)

    granted = await shared.json(plugin, f"sf Infra -e {BOB} --expire-in 8h")
    assert granted["expires"] == "2027-01-15T16:00:00Z"
    same = await shared.run(plugin, f"sf Infra -e {BOB} --expire-at 2027-01-15T16:00:00Z")
    assert isinstance(same, Unchanged)
    await bob.vault.sync()
    assert bob.vault.find_folder("Infra").name == "Infra"
    shared.clock.advance(8 * 3600)
    with pytest.raises(NotFound):
        bob.vault.find_folder("Infra")
    members = await shared.json(plugin, "sf Infra")
    assert [member["status"] for member in members] == ["active", "ended"]


async def test_applications_get_the_folder_key(shared: World) -> None:
    """Users and applications in one call and one transaction."""
    await shared.other(BOB)
    application = await shared.vault.applications.create("CI")
    commits = shared.server.calls_made.count("commit")

    await shared.run(plugin, f"sf Infra -e CI -e {BOB} -w --expire-in 1h")

    assert shared.server.calls_made.count("commit") == commits + 1
    folder = shared.vault.find_folder("Infra")
    _, row = shared.server.stored.applications[application.uid]
    assert [key.folder for key in row.folder_keys] == [folder.uid]
    members = await shared.json(plugin, "share-folder Infra")
    assert [(m["name"], m["kind"], m["can_edit"], m["can_share"]) for m in members] == [
        ("ann@example.org", "owner", True, True),
        ("CI", "application", True, False),
        (BOB, "user", True, False),
    ]
    assert members[1]["expires"] == "2027-01-15T09:00:00Z"


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("Infra -a grant", UsageError),
        ("Infra -w", UsageError),
        ("Infra -e CI -s", UsageError),
        (f"Infra -e {BOB} -a remove -w", UsageError),
        (f"Infra -e {BOB} --expire-in 1h --expire-at 2030-01-01", UsageError),
        (f"Infra -e {BOB} --expire-at 2020-01-01", InvalidInput),
        (f"Infra -e {BOB} --expire-at soon", InvalidInput),
        (f"Infra -e {BOB} --expire-in 0", InvalidInput),
        ("Infra -e carl@example.org", NotFound),
        ("Infra -e Nothing", NotFound),
        ("Infra -e ann@example.org", Conflict),
        (f"Mine -e {BOB}", Conflict),
        (f"Nowhere -e {BOB}", NotFound),
        (f"Infra -e {BOB} -e Nothing", NotFound),
    ],
)
async def test_what_makes_no_sense_is_refused(
    shared: World, words: str, error: type[Exception]
) -> None:
    """And nothing of it is done."""
    await shared.other(BOB)
    await shared.vault.applications.create("CI")
    await shared.vault.create_folder("Mine")
    before = len(shared.server.stored.statements)

    with pytest.raises(error):
        await shared.run(plugin, f"share-folder {words}")
    assert len(shared.server.stored.statements) == before


async def test_an_ambiguous_folder_lists_the_candidates(shared: World) -> None:
    """Two of one name are told apart by UID."""
    second = await shared.vault.create_shared_folder("Infra")

    with pytest.raises(Conflict, match=second.uid):
        await shared.run(plugin, "share-folder Infra")
    assert await shared.json(plugin, f"share-folder {second.uid}")


async def test_members_without_the_right_share_nothing(shared: World) -> None:
    """A reader is refused by code; one with -s may let others in."""
    bob = await shared.other(BOB)
    await shared.other("carl@example.org")
    await shared.run(plugin, f"sf Infra -e {BOB}")
    await bob.vault.sync()

    with pytest.raises(Refused) as refused:
        await bob.run(plugin, "sf Infra -e carl@example.org")
    assert refused.value.code == "right-missing"
    await shared.run(plugin, f"sf Infra -e {BOB} -s")
    await bob.vault.sync()
    assert (await bob.json(plugin, "sf Infra -e carl@example.org"))["status"] == "done"
