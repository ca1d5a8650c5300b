from __future__ import annotations

import pytest

from commander.plugin.help import command_help, group_help
from commander.plugin.registry import Registry
from tests.unit.plugin.sample import LIST, START, commander_commands


@pytest.fixture
def registry() -> Registry:
    registry = Registry()
    registry.add("sample", commander_commands())
    return registry


@pytest.mark.parametrize("width", [0, 1, 40, 80, 1000])
@pytest.mark.parametrize("colour", [False, True])
def test_help_names_everything_at_any_width(width: int, colour: bool) -> None:
    """Flags, choices, example and aliases are there, however narrow the terminal."""
    text = command_help(LIST, width=width, colour=colour)

    for part in ("--format", "--output", "--columns", "pam tunnel list", "tl"):
        assert part in text


def test_help_shows_positionals_and_what_follows_dashes() -> None:
    """Positionals, options with values and the words to run are told apart."""
    text = command_help(START, width=100)

    assert "RECORD" in text
    assert "--port" in text
    assert "PORT" in text
    assert "-- ..." in text
    assert "(default: 30)" in text


def test_group_help_lists_verbs_with_summaries(registry: Registry) -> None:
    """A group lists what is directly under it."""
    text = group_help(registry, ["pam", "tunnel"])

    assert text.startswith("pam tunnel: tunnels\n")
    assert "start  open a tunnel" in text
    assert "mv" not in text


def test_overview_lists_groups_and_commands(registry: Registry) -> None:
    """The overview has one line a first word; a group without summary names its verbs."""
    text = group_help(registry, [])

    assert "privileged access" in text
    assert "record-add" in text
