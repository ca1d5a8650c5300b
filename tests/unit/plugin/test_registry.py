from __future__ import annotations

import pytest

from commander.plugin.command import Command, Group
from commander.plugin.registry import Duplicate, Registry
from tests.unit.plugin.sample import commander_commands


@pytest.fixture
def registry() -> Registry:
    registry = Registry()
    registry.add("sample", commander_commands())
    return registry


def command(path: str, *aliases: str) -> Command:
    return Command(path=path, aliases=aliases, summary="s", example=path, handler="a:b")


@pytest.mark.parametrize(
    ("typed", "path", "length"),
    [
        ("pam tunnel start X", "pam tunnel start", 3),
        ("pam t start X", "pam tunnel start", 3),
        ("pam t l", "pam tunnel list", 3),
        ("tl", "pam tunnel list", 1),
        ("sm app list", "secrets-manager app list", 3),
        ("mv a b", "mv", 1),
    ],
)
def test_longest_path_is_found_through_aliases(
    registry: Registry, typed: str, path: str, length: int
) -> None:
    """Aliases of groups and of commands lead to the same command, at every level."""
    match = registry.find(typed.split())

    assert match.command is not None
    assert match.command.path == path
    assert match.length == length


def test_groups_and_unknown_words(registry: Registry) -> None:
    """A group matches without a command; an unknown word matches nothing."""
    assert registry.find(["pam", "t"]).path == ("pam", "tunnel")
    assert registry.find(["pam", "t"]).command is None
    assert registry.find(["pam", "nope"]).length == 1
    assert registry.find(["nope"]).length == 0
    assert registry.find([]).length == 0


@pytest.mark.parametrize("typed", ["PAM tunnel start", "pam tunne", "p\u0430m tunnel start"])
def test_b005_b006_neither_case_nor_prefix_nor_look_alikes_match(
    registry: Registry, typed: str
) -> None:
    """Names match exactly: no abbreviation, no other case, no Cyrillic letter."""
    assert registry.find(typed.split()).command is None


def test_nearest_names_are_offered(registry: Registry) -> None:
    """A slip of the finger is answered with what was meant, a wrong verb with the group's verbs."""
    assert "pam tunnel start" in registry.nearest(["pam", "tunnel", "strat"])
    assert registry.nearest(["pam", "tunnel", "zzzzzz"]) == [
        "pam tunnel l",
        "pam tunnel list",
        "pam tunnel start",
        "pam tunnel stop",
        "pam tunnel x",
    ]
    assert registry.nearest(["tunnel", "start"])[0:1] == ["pam tunnel start"]
    assert registry.nearest(["qqqqqqqqq"]) == []


def test_next_words_have_aliases(registry: Registry) -> None:
    """Completion of a group offers verbs and their aliases, also through a group's alias."""
    assert registry.next_words(["pam", "t"]) == ["l", "list", "start", "stop", "x"]
    assert "sm" in registry.next_words([])


@pytest.mark.parametrize(
    "item", [command("mv"), command("other", "mv"), command("tl"), Group("x", "x", aliases=("tl",))]
)
def test_a_taken_name_is_refused_and_nothing_is_added(
    registry: Registry, item: Command | Group
) -> None:
    """A duplicate name or alias refuses the whole plugin and names the owner."""
    with pytest.raises(Duplicate, match="is taken by sample"):
        registry.add("late", [command("fine"), item])

    assert registry.find(["fine"]).command is None


def test_two_plugins_may_declare_one_group() -> None:
    """A group is shared: its first summary stays and its alias may be declared twice."""
    registry = Registry()
    registry.add("a", [Group("pam", "first", aliases=("p",)), command("pam x")])
    registry.add("b", [Group("pam", "second", aliases=("p",)), command("pam y")])

    group = registry.group(("pam",))
    assert group is not None
    assert group.summary == "first"
    assert [name for name, _ in registry.children(("pam",))] == ["x", "y"]
    assert registry.find(["p", "y"]).command is not None


def test_owner_of_a_command_is_known(registry: Registry) -> None:
    """Which plugin brought a command can be told."""
    assert {registry.owner(item) for item in registry.commands()} == {"sample"}
