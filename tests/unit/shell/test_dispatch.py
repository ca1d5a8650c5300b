from __future__ import annotations

import json
from pathlib import Path

import pytest

from commander.errors import CommanderError, NotLoggedIn, UsageError
from commander.shell.dispatch import Call, HelpWanted, resolve, wanted_format
from commander.shell.output.failures import CommandFailed
from tests.unit.shell.parts import Logins, Shell, some_session

Captured = pytest.CaptureFixture[str]


def test_words_lead_to_a_call() -> None:
    """A command by path or alias, with the words that are left for it."""
    found = resolve(Shell().dispatcher.registry, ["pam", "t", "start", "X", "--new"])

    assert isinstance(found, Call)
    assert found.command.path == "pam tunnel start"
    assert found.words == ("X", "--new")


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("", ""),
        ("-h", ""),
        ("--help", ""),
        ("pam", "pam"),
        ("pam t", "pam tunnel"),
        ("pam t -h", "pam tunnel"),
        ("pam t start -h", "pam tunnel start"),
        ("pam t start X --nonsense --help", "pam tunnel start"),
    ],
)
def test_groups_and_help_flags_ask_for_help(line: str, path: str) -> None:
    """A group alone and -h anywhere lead to help, whatever else is wrong."""
    found = resolve(Shell().dispatcher.registry, line.split())

    assert isinstance(found, HelpWanted)
    assert " ".join(found.path) == path


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("nope", "help"),
        ("ech x", "echo"),
        ("pam tunnel strat", "pam tunnel start"),
        ("pam tunnel nope -h", "pam tunnel list"),
        ("ECHO x", "echo"),
        ("ec\u202eho", "echo"),
    ],
)
async def test_b005_b006_unknown_commands_are_usage_errors(
    line: str, hint: str, capsys: Captured
) -> None:
    """Exit 2 with near names; the nearest is never run; the name is shown escaped."""
    with pytest.raises(UsageError, match="unknown command") as caught:
        await Shell().runner.run_line(line)

    assert hint in caught.value.hint
    assert "\u202e" not in caught.value.message
    assert capsys.readouterr().out == ""


async def test_a_result_is_shown_on_stdout_only(capsys: Captured) -> None:
    """The table goes to stdout and nothing to stderr."""
    await Shell().runner.run_line("pam t list")
    shown = capsys.readouterr()

    assert "Orders\\x1b]52" in shown.out
    assert shown.err == ""


async def test_listing_flags(capsys: Captured, tmp_path: Path) -> None:
    """--format, --columns, --output and --force work on every listing."""
    shell, file = Shell(), tmp_path / "out.json"
    await shell.runner.run_line(f"tl --format json --columns title,host --output {file}")
    shown = capsys.readouterr()

    assert json.loads(file.read_text())[1] == {"title": "=1+1", "host": "h"}
    assert shown.out == ""
    assert "written to" in shown.err
    with pytest.raises(CommanderError, match="exists"):
        await shell.runner.run_line(f"tl --output {file}")
    await shell.runner.run_line(f"tl --format csv --output {file} --force")
    assert file.read_text().startswith("record_uid,title")


async def test_a_command_that_needs_login(capsys: Captured) -> None:
    """Without a kept login it is refused before it starts; with one it is resumed."""
    with pytest.raises(NotLoggedIn) as caught:
        await Shell().runner.run_line("record-add --title x")
    assert caught.value.exit_code == 5
    assert caught.value.hint

    await Shell(logins=Logins(some_session())).runner.run_line("record-add --title x")

    assert capsys.readouterr().out == "added x\n"


async def test_destructive_commands_need_force_without_a_terminal(capsys: Captured) -> None:
    """No terminal and no -f is a usage error before anything happens; -f goes on."""
    with pytest.raises(UsageError, match="asks before it acts") as caught:
        await Shell().runner.run_line("pam t stop x")
    assert "-f" in caught.value.hint

    await Shell().runner.run_line("pam t stop x -f --format json")

    assert json.loads(capsys.readouterr().out) == {
        "status": "done", "message": "stopped", "count": 1,
    }  # fmt: skip


async def test_a_command_may_end_with_its_own_code(capsys: Captured) -> None:
    """The result is shown and the code is passed on, without an error message."""
    shell = Shell()
    with pytest.raises(CommandFailed) as caught:
        await shell.runner.run_line("fail code")
    shell.runner.report(caught.value)

    assert caught.value.status == 7
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("last words\n", "")


@pytest.mark.parametrize("line", ["pam t start", "fail missing -h x", "tl --format csv"])
async def test_dry_run_checks_and_runs_nothing(line: str, capsys: Captured) -> None:
    """With dry_run a wrong line fails as it would, and a right one has no effect."""
    shell = Shell()
    if line == "pam t start":
        with pytest.raises(UsageError, match="needs RECORD"):
            await shell.runner.run_line(line, dry_run=True)
    else:
        await shell.runner.run_line(line, dry_run=True)

    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("x --format json", "json"),
        ("x --format=yaml y", "yaml"),
        ("x --format detail", "table"),
        ("x -- --format json", "table"),
        ("x --format", "table"),
    ],
)
def test_format_of_errors_is_the_one_asked_for(line: str, expected: str) -> None:
    """The format is found even in a line that does not parse."""
    assert wanted_format(line.split(), "table") == expected


@pytest.mark.parametrize("topic", [(), ("pam",), ("pam", "t", "start")])
def test_help_texts(topic: tuple[str, ...]) -> None:
    """Help exists for nothing, a group and a command; for nonsense it is an error."""
    assert Shell().dispatcher.help(topic)
    with pytest.raises(UsageError, match="unknown command"):
        Shell().dispatcher.help((*topic, "nope"))
