from __future__ import annotations

import asyncio
import json

import pytest

from commander.errors import CommanderError, Interrupted, NotFound, UsageError
from commander.shell.lexer import LexError
from commander.shell.output.failures import code_of
from tests.unit.shell.parts import Shell

Captured = pytest.CaptureFixture[str]


async def test_statements_run_in_order_until_one_fails(capsys: Captured) -> None:
    """`;` separates; what stands after a failure does not run."""
    with pytest.raises(UsageError):
        await Shell().runner.run_line("set A 1; echo a ${A}; nope; echo b")

    assert capsys.readouterr().out == "a 1\n"


@pytest.mark.parametrize(
    "line", ["echo a; echo 'b", "echo a; echo b\\", "echo a\0", "echo a; echo ${"]
)
async def test_b001_b002_nothing_of_an_unreadable_line_runs(line: str, capsys: Captured) -> None:
    """A line is read whole before its first statement runs."""
    with pytest.raises(LexError):
        await Shell().runner.run_line(line)

    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("text", ["$(touch x)", "`id`", "a && b", "a | b", "a > b", "*", "~"])
async def test_b007_signs_of_other_shells_are_text(text: str, capsys: Captured) -> None:
    """Nothing is handed to a shell and nothing is expanded."""
    await Shell().runner.run_line(f"echo {text}")

    assert capsys.readouterr().out == f"{text}\n"


async def test_variables_and_environment(capsys: Captured) -> None:
    """`${NAME}` and `${env:NAME}` arrive as one word, whatever they hold."""
    shell = Shell(environment={"E": "x  y; nope"})
    await shell.runner.run_line("set A 'p  q'; echo ${A} ${env:E}")

    assert capsys.readouterr().out == "p  q x  y; nope\n"


async def test_interrupt_ends_the_running_command_only() -> None:
    """Ctrl-C cancels the command with code 130, and the next line runs."""
    shell = Shell()
    running = asyncio.get_running_loop().create_task(shell.runner.run_line("sleep 1h"))
    while not shell.runner.interrupt():
        await asyncio.sleep(0)
    with pytest.raises(Interrupted) as caught:
        await running

    assert code_of(caught.value) == 130
    assert not shell.runner.interrupt()
    await shell.runner.run_line("sleep 0")


async def test_cancelling_the_runner_ends_the_command_first() -> None:
    """SIGTERM cancels the program's task: the command has ended when that returns."""
    shell = Shell()
    running = asyncio.get_running_loop().create_task(shell.runner.run_line("sleep 1h"))
    while not any(task.get_name() == "command" for task in asyncio.all_tasks()):
        await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert not shell.runner.interrupt()


@pytest.mark.parametrize(
    ("how", "code", "message"),
    [
        ("missing", 3, "no record is called"),
        ("os", 1, "/no/such: No such file"),
        ("bug", 1, "internal fault RuntimeError"),
    ],
)
async def test_whatever_a_command_raises_is_an_error_with_a_code(
    how: str, code: int, message: str, capsys: Captured
) -> None:
    """Errors on purpose, of the system and of the program are told apart; no secret is shown."""
    shell = Shell()
    with pytest.raises(CommanderError) as caught:
        await shell.runner.run_line(f"fail {how}")
    shell.runner.report(caught.value)

    shown = capsys.readouterr()
    assert code_of(caught.value) == code
    assert message in shown.err
    assert "canary" not in shown.err
    assert shown.out == ""


@pytest.mark.parametrize("how", ["missing", "bug"])
async def test_errors_are_json_when_json_was_asked_for(how: str, capsys: Captured) -> None:
    """`--format json` makes errors one JSON object on stderr."""
    shell = Shell()
    with pytest.raises(CommanderError) as caught:
        await shell.runner.run_line(f"fail {how} --format json")
    shell.runner.report(caught.value)

    error = json.loads(capsys.readouterr().err)["error"]
    assert error["code"] == {"missing": "not-found", "bug": "internal"}[how]
    assert "canary" not in str(error)


async def test_format_of_one_line_does_not_stay(capsys: Captured) -> None:
    """An error of a later line that cannot be read is text again."""
    shell = Shell()
    await shell.runner.run_line("echo --format json x")
    with pytest.raises(LexError) as caught:
        await shell.runner.run_line("echo '")
    shell.runner.report(caught.value)

    assert capsys.readouterr().err.startswith("error: ")


async def test_lines_inside_a_command_run_in_its_task() -> None:
    """A command that runs lines (`run FILE`) is not deadlocked and not replaced."""
    shell = Shell()

    async def inner() -> None:
        await shell.runner.run_line("sleep 0; echo x")

    await inner()
    with pytest.raises(NotFound):
        await shell.runner.run_line("run /no/such/file")
