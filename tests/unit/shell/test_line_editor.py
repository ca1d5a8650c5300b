from __future__ import annotations

from collections.abc import Iterator

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output import DummyOutput

from commander.shell.line_editor import CommandCompleter, LineEditor, join_continued
from tests.unit.plugin.sample import RECORDS
from tests.unit.shell.parts import Shell


@pytest.fixture
def typed() -> Iterator[PipeInput]:
    with create_pipe_input() as pipe, create_app_session(input=pipe, output=DummyOutput()):
        yield pipe


def editor(shell: Shell, *, use_colour: bool = True) -> LineEditor:
    return LineEditor(
        shell.plugins.registry,
        lambda kind: RECORDS if kind.value == "record" else (),
        shell.history,
        lambda: "status",
        use_vi=False,
        use_colour=use_colour,
    )


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ("ec\x1aho a\r", "echo a"),
        ("echo a\r", "echo a"),
        ("echo a \\\rb\r", "echo a b"),
        ("echo 'a\r", "echo 'a"),
        ("\x1b[A\r", "echo second"),
        ("\x1b[A\x1b[A\r", "echo first"),
        ("\x12firs\r\r", "echo first"),
    ],
)
async def test_keys_make_a_line(typed: PipeInput, keys: str, line: str) -> None:
    """Enter ends a line unless a backslash continues it; arrows and Ctrl-R work, Ctrl-Z types nothing."""
    shell = Shell()
    shell.history.add("echo first")
    shell.history.add("echo second")
    typed.send_text(keys)

    assert await editor(shell).read("> ") == line


async def test_lines_are_not_kept_by_the_editor(typed: PipeInput) -> None:
    """Only the session decides what enters the history, after it has looked for secrets."""
    shell = Shell()
    typed.send_text("set PASSWORD canary\r")
    await editor(shell, use_colour=False).read("> ")

    assert shell.history.lines() == []


@pytest.mark.parametrize(("key", "error"), [("\x03", KeyboardInterrupt), ("\x04", EOFError)])
async def test_leaving_keys(typed: PipeInput, key: str, error: type[BaseException]) -> None:
    """Ctrl-C and Ctrl-D come out as what they are."""
    typed.send_text(key)
    with pytest.raises(error):
        await editor(Shell()).read("> ")


def test_only_backslash_newline_is_taken_out() -> None:
    """Pasted line ends without a backslash stay, for the lexer to refuse."""
    assert join_continued("a\\\nb\nc") == "ab\nc"


def test_candidates_replace_the_word() -> None:
    """The adapter turns candidates into replacements before the cursor."""
    completer = CommandCompleter(Shell().plugins.registry, lambda kind: ["every day"])
    line = "pam t start ev"
    found = list(completer.get_completions(Document(line), CompleteEvent()))

    assert [(c.text, c.start_position) for c in found] == [("'every day' ", -2)]
    assert found[0].display_text == "every day"
