from __future__ import annotations

from collections.abc import Sequence

import pytest

from commander import __version__
from commander.errors import InvalidInput, UsageError
from commander.plugin.command import ArgumentKind, Command
from commander.plugin.results import Document, Table, Text
from commander.plugin.testing import FakeContext, check_plugin, load_plugin, run_command
from plugins.shell import plugin


class Control:
    """A shell that records what its commands ask of it."""

    def __init__(self) -> None:
        self.asked: list[object] = []

    def commands(self) -> Sequence[Command]:
        return check_plugin(plugin)

    def help(self, words: Sequence[str]) -> str:
        return f"about {' '.join(words)}"

    def history(self) -> Sequence[str]:
        return ["one", "two", "three"]

    async def run_file(
        self, path: str, *, keep_going: bool, dry_run: bool, trust_file: bool, format: str
    ) -> None:
        self.asked.append((path, keep_going, dry_run, trust_file, format))

    def quit(self) -> None:
        self.asked.append("quit")


@pytest.fixture
def context() -> FakeContext:
    return FakeContext(control=Control())


async def test_set_and_echo(context: FakeContext) -> None:
    """A variable is set, words are joined by one blank, and alone `echo` lists variables."""
    await run_command(plugin, "set A 'x  y'", context)

    assert context.variables.get("A") == "x  y"
    assert await run_command(plugin, ["echo", "a", "b  c"], context) == Text("a b  c")
    listed = await run_command(plugin, "echo", context)
    assert isinstance(listed, Table)
    assert listed.rows == [{"name": "A", "value": "x  y"}]
    with pytest.raises(InvalidInput):
        await run_command(plugin, "set a-b x", context)


async def test_sleep_is_bounded(context: FakeContext) -> None:
    """No time is no wait; more than a day is refused."""
    await run_command(plugin, "sleep 0", context)
    for line in ("sleep 25h", "sleep -1", "sleep x"):
        with pytest.raises(UsageError):
            await run_command(plugin, line, context)


async def test_help_asks_the_shell(context: FakeContext) -> None:
    """The topic is handed on as words."""
    assert await run_command(plugin, "help pam tunnel", context) == Text("about pam tunnel")


@pytest.mark.parametrize(
    ("line", "numbers"),
    [
        ("history", [1, 2, 3]),
        ("h --limit 2", [2, 3]),
        ("h --limit 0", []),
        ("h --limit 9", [1, 2, 3]),
    ],
)
async def test_history_is_numbered(context: FakeContext, line: str, numbers: list[int]) -> None:
    """Lines keep their numbers when only the newest are shown."""
    found = await run_command(plugin, line, context)

    assert isinstance(found, Table)
    assert [row["number"] for row in found.rows] == numbers


async def test_version_and_quit(context: FakeContext) -> None:
    """The version is data, and leaving is asked of the shell."""
    found = await run_command(plugin, "v", context)
    await run_command(plugin, "q", context)

    assert isinstance(found, Document)
    assert found.values["version"] == __version__
    assert isinstance(context.control, Control)
    assert context.control.asked == ["quit"]


async def test_run_hands_its_flags_on(context: FakeContext) -> None:
    """Files run in order with the flags of the line."""
    await run_command(plugin, "run a - --keep-going --trust-file --format json", context)

    assert isinstance(context.control, Control)
    assert context.control.asked == [
        ("a", True, False, True, "json"),
        ("-", True, False, True, "json"),
    ]


def test_completion_sources(context: FakeContext) -> None:
    """Variable names and first words of commands are offered."""
    context.variables.set("A", "1")
    plugins = load_plugin(plugin)

    assert list(plugins.completion_candidates(ArgumentKind.VARIABLE, context)) == ["A"]
    assert "echo" in plugins.completion_candidates(ArgumentKind.COMMAND, context)
