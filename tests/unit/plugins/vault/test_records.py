from __future__ import annotations

from pathlib import Path

import pytest

from commander.errors import (
    CommanderError,
    Conflict,
    InvalidInput,
    NotFound,
    TimedOut,
    UsageError,
)
from commander.plugin.results import Document, Done, Table, Text, Unchanged
from commander.plugin.testing import FakeConsole, check_plugin, run_command
from commander.wire.records import RecordData
from plugins.vault import plugin
from plugins.vault.searching import find, regex_matcher, searchable, word_matcher
from tests.support.command_world import World

ADD = (
    "record-add -t 'Orders DB' -rt pamDatabase pamHostname=db.example:5432 databaseType=postgresql"
)


def test_declarations_are_sound() -> None:
    """Every handler imports and every example parses as its own command."""
    assert len(check_plugin(plugin)) == 16


async def test_added_record_is_shown(world: World) -> None:
    """Fields land where the type has them, and the UID is left in a variable."""
    made = await world.json(plugin, ADD)
    shown = await world.json(plugin, "get 'Orders DB' --format json")

    assert world.context.variables.get("last_record_uid") == made["record_uid"]
    assert shown["record_uid"] == made["record_uid"]
    assert shown["fields"][0] == {
        "type": "pamHostname",
        "value": [{"hostName": "db.example", "port": "5432"}],
    }


async def test_same_record_if_missing_is_unchanged(world: World) -> None:
    """Run twice, a batch file changes nothing; generated values do not count as different."""
    line = ADD + " 'c.password=$GEN' --if-missing"
    assert isinstance(await world.run(plugin, line), Done)
    before = world.vault.find_record("Orders DB").revision

    assert isinstance(await world.run(plugin, line), Unchanged)

    assert world.vault.find_record("Orders DB").revision == before


@pytest.mark.parametrize(
    "line",
    [
        ADD.replace("5432", "5433") + " --if-missing",
        ADD + " -n other --if-missing",
        ADD + " text.connectDatabase=orders --if-missing",
        "record-add -t 'Orders DB' -rt login login=a --if-missing",
    ],
)
async def test_different_record_under_the_title_is_a_conflict(world: World, line: str) -> None:
    """Code 7, naming what differs."""
    await world.run(plugin, ADD)

    with pytest.raises(Conflict):
        await world.run(plugin, line)


async def test_secrets_are_masked_until_asked_for(world: World) -> None:
    """In every form but the password's own."""
    await world.run(plugin, "record-add -t box -rt login login=ann password=hunter22")
    assert any("command line" in notice for notice in world.context.console.notices)

    for form in ("detail", "json", "fields"):
        shown = await world.run(plugin, f"get box --format {form}")
        clear = await world.run(plugin, f"get box --format {form} --unmask")
        assert "hunter22" not in repr(shown)
        assert "hunter22" in repr(clear)
    assert await world.run(plugin, "get box --format password") == Text("hunter22")


async def test_record_without_password_has_none_to_show(world: World) -> None:
    """Code 3."""
    await world.run(plugin, ADD)

    with pytest.raises(NotFound):
        await world.run(plugin, "get 'Orders DB' --format password")


async def test_secret_comes_from_a_file_or_standard_input(world: World, tmp_path: Path) -> None:
    """Without a warning, one newline cut, and never read as a recipe."""
    path = tmp_path / "secret"
    path.write_text("$GEN\n")
    path.chmod(0o600)
    await world.run(plugin, f"record-add -t a -rt login --field-file password={path}")
    assert world.vault.find_record("a").data.text("password") == "$GEN"
    assert not world.context.console.notices

    world.context.console = FakeConsole(stdin=b"s3cret\n")
    await run_command(plugin, "record-update -r a --field-stdin password", world.context)
    assert world.vault.find_record("a").data.text("password") == "s3cret"


async def test_readable_secret_file_is_refused(world: World, tmp_path: Path) -> None:
    """A secret others can read is no secret; a missing file is named."""
    path = tmp_path / "secret"
    path.write_text("x")
    path.chmod(0o644)

    with pytest.raises(InvalidInput):
        await world.run(plugin, f"record-add -t a -rt login --field-file password={path}")
    with pytest.raises(NotFound):
        await world.run(plugin, f"record-add -t a -rt login --field-file password={path}x")
    with pytest.raises(UsageError):
        await world.run(plugin, "record-add -t a -rt login --field-file password")
    assert not world.vault.view.records


@pytest.mark.parametrize(
    "fields",
    ["'pamHostname=a b:22'", "pamHostname=a:0", "nonsense=1", "file=@x", "pamHostname", "-t ''"],
)
async def test_bad_fields_make_nothing(world: World, fields: str) -> None:
    """An error, and no record."""
    with pytest.raises(CommanderError):
        await world.run(plugin, f"record-add -t a -rt pamMachine {fields}")

    assert not world.vault.view.records


async def test_updated_record_keeps_what_it_does_not_know(world: World) -> None:
    """B033: unknown members survive a rewrite by this program."""
    data = RecordData(
        {
            "title": "future",
            "type": "toaster",
            "fields": [{"type": "crumbs", "value": [1], "privacyScreen": True}],
            "custom": [],
            "x-new": {"a": [1]},
        }
    )
    record = await world.vault.create_record(data)

    await world.run(plugin, "record-update -r future text.note=hello -t Future")

    content = world.vault.get_record(record.uid).data.content
    assert content["title"] == "Future"
    assert content["x-new"] == {"a": [1]}
    assert content["fields"] == [{"type": "crumbs", "value": [1], "privacyScreen": True}]
    assert content["custom"] == [{"type": "text", "value": ["hello"], "label": "note"}]


async def test_update_that_changes_nothing_says_so(world: World) -> None:
    """And an update without anything to change is a usage error."""
    await world.run(plugin, ADD)

    assert isinstance(await world.run(plugin, "record-update -r 'Orders DB' -n x"), Done)
    assert isinstance(await world.run(plugin, "record-update -r 'Orders DB' -n x"), Unchanged)
    with pytest.raises(UsageError):
        await world.run(plugin, "record-update -r 'Orders DB'")


async def test_history_shows_revisions_and_their_content(world: World) -> None:
    """Oldest first, secrets masked; an unknown revision is an error."""
    await world.run(plugin, "record-add -t a -rt login login=one")
    await world.run(plugin, "record-update -r a login=two password=hunter22")

    rows = await world.json(plugin, "record-history a")
    assert [(row["revision"], row["author"]) for row in rows] == [
        (1, "ann@example.org"),
        (2, "ann@example.org"),
    ]
    old = await world.run(plugin, "record-history a --revision 1")
    new = await world.run(plugin, "record-history a --revision 2")
    assert "one" in repr(old)
    assert "hunter22" not in repr(new)
    with pytest.raises(Conflict):
        await world.run(plugin, "record-history a --revision 3")


async def test_record_types_are_listed(world: World) -> None:
    """All of them, or the fields of one."""
    types = await world.run(plugin, "record-types")
    fields = await world.json(plugin, "record-types pamuser")

    assert isinstance(types, Table)
    assert "pamRemoteBrowser" in {row["type"] for row in types.rows}
    assert {"field": "password", "type": "password", "label": "", "secret": True} in fields


async def test_search_finds_by_words_and_expression(world: World) -> None:
    """In titles, hosts and other clear fields, never in secrets."""
    await world.run(plugin, ADD)
    await world.run(plugin, "record-add -t box -rt login login=root password=db.example9")

    async def titles(line: str) -> list[str]:
        return [row["title"] for row in await world.json(plugin, line)]

    assert await titles("search 'ORDERS 5432'") == ["Orders DB"]
    assert await titles("search db.example9") == []
    assert await titles("search '^box$' --regex") == ["box"]
    assert await titles("search --type LOGIN") == ["box"]
    assert await titles("list") == ["box", "Orders DB"]


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|a)*b", ".*.*.*.*x", "(", "a" * 300])
def test_costly_expressions_are_refused(pattern: str) -> None:
    """B015: what could freeze the session is an error."""
    with pytest.raises(InvalidInput):
        regex_matcher(pattern)


async def test_search_has_a_time_budget(world: World) -> None:
    """A search that takes longer ends with code 8."""
    await world.run(plugin, ADD)

    def slow(text: str) -> bool:
        world.clock.advance(2.0)
        return False

    records = list(world.vault.view.records.values()) * 2
    with pytest.raises(TimedOut):
        list(find(records, slow, None, world.clock))
    assert not list(find(records, word_matcher("nothing"), None, world.clock))


def test_odd_records_are_searchable() -> None:
    """Fields without a list of values, or with objects, do not stop a search."""
    data = RecordData(
        {"title": "t", "type": "x", "fields": [{"type": "a", "value": "b"}, {"type": "c"}]}
    )

    assert searchable(data).startswith("t\nx")


async def test_folder_is_shown_by_get(world: World) -> None:
    """With its members; an unknown name is code 3."""
    await world.run(plugin, "mkdir -sf Shared")

    shown = await world.run(plugin, "get Shared")

    assert isinstance(shown, Document)
    assert shown.values["shared"] is True
    with pytest.raises(NotFound, match="no record"):
        await world.run(plugin, "get nothing")
