from __future__ import annotations

import pytest

from commander.errors import Interrupted, NotLoggedIn, UsageError
from commander.plugin.results import Done, Table
from commander.plugin.testing import (
    FakeConsole,
    FakeContext,
    FakeTunnels,
    check_plugin,
    run_command,
)
from plugins.shell import plugin as shell_plugin
from tests.unit.plugin import sample


@pytest.mark.parametrize("plugin", [sample, shell_plugin])
def test_plugins_are_checked_to_their_handlers_and_examples(plugin: object) -> None:
    """Every handler imports and every example parses."""
    assert check_plugin(plugin)


async def test_a_command_gives_its_result() -> None:
    """The test kit runs a line and returns the result unrendered."""
    assert isinstance(await run_command(sample, "pam t list", FakeContext()), Table)


async def test_a_command_without_login_is_refused() -> None:
    """Commands that need a login see NotLoggedIn in a context without a vault."""
    with pytest.raises(NotLoggedIn):
        await run_command(sample, "record-add --title x", FakeContext())


async def test_destructive_commands_ask() -> None:
    """Forced or answered with yes it runs; no answer or no terminal refuses."""
    line = "pam tunnel stop x"

    assert isinstance(await run_command(sample, f"{line} -f", FakeContext()), Done)
    yes = FakeContext(console=FakeConsole("y"))
    assert isinstance(await run_command(sample, line, yes), Done)
    assert yes.console.questions == ["stop it?"]
    with pytest.raises(Interrupted):
        await run_command(sample, line, FakeContext(console=FakeConsole("n")))
    with pytest.raises(UsageError):
        await run_command(sample, line, FakeContext())


async def test_unknown_lines_are_usage_errors() -> None:
    """A line that names no command of the plugin is refused."""
    with pytest.raises(UsageError):
        await run_command(sample, "nope", FakeContext())


async def test_the_fake_console_behaves_as_without_a_terminal() -> None:
    """Without answers, questions use their default or fail; stdin is what the test gave."""
    console = FakeConsole(stdin=b"abc")

    assert await console.ask("name", default="d") == "d"
    assert await console.read_stdin(limit=2) == b"ab"
    with pytest.raises(UsageError):
        await console.ask_secret("password", flag="--password-file")
    console.progress("waiting")
    console.notice("n")
    console.emit("e")
    assert (console.notices, console.emitted) == (["n"], ["e"])


async def test_ending_a_session_closes_tunnels() -> None:
    """Logging out closes the fake's tunnels as the shell does."""
    tunnels = FakeTunnels(2)
    context = FakeContext(tunnels=tunnels)

    await context.end_session()

    assert tunnels.closed == ["logged out"]
    assert tunnels.open_count() == 0
    assert context.shared(list, list) is context.shared(list, list)
    with pytest.raises(NotLoggedIn):
        _ = context.api
