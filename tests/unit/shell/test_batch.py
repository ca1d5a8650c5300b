from __future__ import annotations

from pathlib import Path

import pytest

from commander.errors import CommanderError, NotAllowed, UsageError
from commander.plugin.context import Mode
from commander.shell.batch import MAX_DEPTH
from commander.shell.output.failures import KeptGoing, LineFailed, code_of
from tests.unit.shell.parts import Shell

Captured = pytest.CaptureFixture[str]


async def run(shell: Shell, text: str, *, keep_going: bool = False, dry_run: bool = False) -> None:
    await shell.batch.run_text(text.encode(), "f", keep_going=keep_going, dry_run=dry_run)


async def test_b018_the_first_error_ends_the_batch_with_its_code(capsys: Captured) -> None:
    """Lines before it ran, lines after it did not, the error names the line."""
    with pytest.raises(LineFailed) as caught:
        await run(Shell(), "echo 1\n# no\nfail missing\necho 2\n")

    assert caught.value.message == "f line 3: no record is called 'X'"
    assert code_of(caught.value) == 3
    assert capsys.readouterr().out == "1\n"


async def test_b018_keep_going_counts_and_fails_at_the_end(capsys: Captured) -> None:
    """Every line runs, each failure is reported, the code is the first one's."""
    with pytest.raises(KeptGoing) as caught:
        await run(Shell(), "fail missing\necho 1\nnope\necho 2\n", keep_going=True)

    shown = capsys.readouterr()
    assert caught.value.message == "2 of 4 lines failed"
    assert code_of(caught.value) == 3
    assert shown.out == "1\n2\n"
    assert "f line 1: " in shown.err
    assert "f line 3: " in shown.err


async def test_a_marked_line_may_fail(capsys: Captured) -> None:
    """`@` reports the error and goes on, and the batch succeeds."""
    await run(Shell(), "@fail missing\n@ nope\necho 1\n")

    shown = capsys.readouterr()
    assert shown.out == "1\n"
    assert "f line 2: unknown command" in shown.err


async def test_a_code_of_its_own_ends_the_batch_too() -> None:
    """A command that shows its result and ends with 7 ends the batch with 7."""
    with pytest.raises(LineFailed) as caught:
        await run(Shell(), "fail code\n")

    assert code_of(caught.value) == 7


async def test_quit_ends_the_batch_and_not_the_session(capsys: Captured) -> None:
    """`quit` in a file stops that file; a session that ran it goes on."""
    shell = Shell()
    await run(shell, "echo 1\nquit\necho 2\n")
    await run(shell, "echo 3\n")

    assert capsys.readouterr().out == "1\n3\n"
    assert not shell.control.is_quit_asked
    await shell.runner.run_line("quit")
    assert shell.control.is_quit_asked


async def test_dry_run_reads_everything_and_runs_nothing(capsys: Captured, tmp_path: Path) -> None:
    """Variables are set so that later lines resolve; included files are read too."""
    inner = tmp_path / "inner"
    inner.write_text("echo ${A}\nnope\n")
    shell = Shell()
    await run(shell, "set A 1\necho ${A}\nfail missing\n", dry_run=True)
    assert capsys.readouterr().out == ""

    with pytest.raises(LineFailed, match=r"f line 1: .*inner line 2: unknown command"):
        await run(shell, f"run {inner}\n", dry_run=True)

    assert capsys.readouterr().out == ""
    await run(shell, "echo back\n")
    assert capsys.readouterr().out == "back\n"


async def test_b019_a_file_that_includes_itself_ends_at_depth_eight(tmp_path: Path) -> None:
    """Inclusion stops at the limit with a usage error that names the chain."""
    path = tmp_path / "loop"
    path.write_text(f"run {path}\n")
    shell = Shell()
    with pytest.raises(CommanderError, match="deep") as caught:
        await shell.runner.run_line(f"run {path}")

    assert code_of(caught.value) == UsageError.exit_code
    assert caught.value.message.count("line 1:") == MAX_DEPTH
    await run(shell, "echo the depth is back at the start\n")


async def test_eight_levels_are_allowed(tmp_path: Path, capsys: Captured) -> None:
    """The control: eight files deep still runs."""
    for level in range(MAX_DEPTH):
        line = f"run {tmp_path / str(level + 1)}" if level + 1 < MAX_DEPTH else "echo deep"
        (tmp_path / str(level)).write_text(line)
    await Shell().runner.run_line(f"run {tmp_path / '0'}")

    assert capsys.readouterr().out == "deep\n"


async def test_what_the_outer_batch_was_told_holds_inside(tmp_path: Path, capsys: Captured) -> None:
    """--keep-going of the outer file keeps the included one going."""
    inner = tmp_path / "inner"
    inner.write_text("nope\necho inner\n")
    with pytest.raises(KeptGoing):
        await run(Shell(), f"run {inner}\necho outer\n", keep_going=True)

    assert capsys.readouterr().out == "inner\nouter\n"


async def test_b020_untrusted_files_are_refused(tmp_path: Path, capsys: Captured) -> None:
    """A world-writable file runs with --trust-file only."""
    path = tmp_path / "f"
    path.write_text("echo ran\n")
    path.chmod(0o666)
    with pytest.raises(NotAllowed):
        await Shell().runner.run_line(f"run {path}")
    await Shell().runner.run_line(f"run {path} --trust-file")

    assert capsys.readouterr().out == "ran\n"


async def test_b021_passwords_in_a_batch_are_kept_exactly(capsys: Captured) -> None:
    """`#`, quotes and blanks in a quoted value reach the command unchanged."""
    await run(Shell(), "echo 'a#b  c\"d'   # a comment\n")

    assert capsys.readouterr().out == 'a#b  c"d\n'


async def test_mode_is_batch_while_a_one_shot_runs_a_file() -> None:
    """What a line opens belongs to the batch, not to the line."""
    shell = Shell(mode=Mode.ONE_SHOT)
    seen: list[Mode] = []
    shell.context.exit_stack.callback(lambda: seen.append(shell.context.mode))
    await run(shell, "echo x\n")
    assert shell.context.mode is Mode.ONE_SHOT
    assert seen == []

    await shell.context.close_opened("end")
    assert seen == [Mode.ONE_SHOT]


async def test_a_file_after_a_failure_in_a_session_runs_again(capsys: Captured) -> None:
    """A failed batch leaves no trace in depth, flags or mode."""
    shell = Shell()
    for _ in range(MAX_DEPTH + 1):
        with pytest.raises(LineFailed):
            await run(shell, "nope\n", dry_run=True)
    await run(shell, "echo fine\n")

    assert capsys.readouterr().out == "fine\n"


async def test_the_format_of_run_is_that_of_its_lines(capsys: Captured, tmp_path: Path) -> None:
    """Results and errors are JSON where a line asks for nothing else, and table again after it."""
    path = tmp_path / "f"
    path.write_text("version\nversion --format csv\n@fail missing\n")
    path.chmod(0o600)
    shell = Shell()
    await shell.runner.run_line(f"run {path} --format json")
    await shell.runner.run_line("version")

    shown = capsys.readouterr()
    assert shown.out.startswith("{\n")
    assert shown.out.count('"version"') == 1
    assert '{"error": ' in shown.err
    assert shell.dispatcher.default_format == "table"
