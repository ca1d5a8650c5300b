from __future__ import annotations

import io
import os
import sys

import pytest

from commander.errors import CommanderError, Interrupted, InvalidInput, UsageError
from commander.shell.console import OutputClosed, StreamConsole
from commander.shell.output.failures import code_of
from commander.shell.terminal import Terminal

Captured = pytest.CaptureFixture[str]
SCREEN = Terminal(stdin=True, stdout=True, stderr=True, width=20)


def test_notices_go_to_stderr_and_emitted_lines_to_stdout(capsys: Captured) -> None:
    """Only results are on stdout; both are escaped."""
    console = StreamConsole(Terminal())
    console.notice("n\x1b[2J")
    console.emit("e\x1b[2J")

    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("e\\x1b[2J\n", "n\\x1b[2J\n")


def test_progress_is_one_line_that_is_replaced(capsys: Captured) -> None:
    """On a terminal progress is cut to the width and taken away before anything else."""
    console = StreamConsole(SCREEN)
    console.progress("waiting for the gateway to answer")
    console.notice("done")

    assert capsys.readouterr().err == "waiting for the gat\r\x1b[Kdone\n"


@pytest.mark.parametrize("terminal", [Terminal(), Terminal(stderr=True, is_dumb=True)])
def test_progress_is_left_out_without_a_capable_terminal(
    terminal: Terminal, capsys: Captured
) -> None:
    """Logs and dumb terminals get no progress."""
    console = StreamConsole(terminal)
    console.progress("waiting")
    console.clear_progress()

    assert capsys.readouterr().err == ""


async def test_b011_questions_without_a_terminal_fail_and_name_the_flag() -> None:
    """Nobody is asked in vain: exit 2 with the flag, or the default."""
    console = StreamConsole(Terminal(stdin=True))

    assert not console.is_interactive
    assert await console.ask("Name", default="d") == "d"
    with pytest.raises(UsageError) as caught:
        await console.ask("Name", flag="--name")
    assert "--name" in caught.value.hint
    with pytest.raises(UsageError):
        await console.ask_secret("Password", flag="--password-file")
    with pytest.raises(UsageError):
        await console.confirm("sure?", force=False)
    await console.confirm("sure?", force=True)


async def test_stdin_is_read_once_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """All bytes arrive; a second reader, too many bytes and a terminal are refused."""
    reading, writing = os.pipe()
    os.write(writing, b"line\n\xff")
    os.close(writing)
    with os.fdopen(reading) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        console = StreamConsole(Terminal())
        assert await console.read_stdin() == b"line\n\xff"
        with pytest.raises(UsageError, match="read already"):
            await console.read_stdin()
    with pytest.raises(UsageError, match="is the terminal"):
        await StreamConsole(SCREEN).read_stdin()
    with pytest.raises(UsageError, match="closed"):
        await StreamConsole(Terminal()).read_stdin()


async def test_too_much_on_stdin_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """One byte over the limit is an error, not a cut."""
    reading, writing = os.pipe()
    os.write(writing, b"12345")
    os.close(writing)
    with os.fdopen(reading) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        with pytest.raises(InvalidInput, match="larger than 4"):
            await StreamConsole(Terminal()).read_stdin(limit=4)


class Broken(io.StringIO):
    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def flush(self) -> None:
        raise OSError(self.number, os.strerror(self.number))


@pytest.mark.parametrize(("number", "code"), [(32, 141), (5, 141), (28, 1)])
def test_b012_a_closed_or_full_output_is_an_error_with_a_code(
    number: int, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EPIPE and EIO end like SIGPIPE would; a full disk is a failure that is told."""
    monkeypatch.setattr(sys, "stdout", Broken(number))
    with pytest.raises(CommanderError) as caught:
        StreamConsole(Terminal()).emit("x")

    assert code_of(caught.value) == code
    assert isinstance(caught.value, OutputClosed) is (code == 141)
    assert isinstance(caught.value, Interrupted) is (code == 141)
