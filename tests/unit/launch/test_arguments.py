from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commander.errors import UsageError
from commander.launch.arguments import StartOptions, read_start_options


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ([], StartOptions()),
        (["ls", "-l", "--version"], StartOptions(words=("ls", "-l", "--version"))),
        (["--format", "json", "ls"], StartOptions(format="json", words=("ls",))),
        (["--server=h:1", "--home=/h"], StartOptions(server="h:1", home="/h")),
        (["-c", "a; b", "--dry-run"], StartOptions(lines="a; b", dry_run=True)),
        (["-c=x"], StartOptions(lines="x")),
        (["--keep-going", "-"], StartOptions(keep_going=True, read_stdin=True)),
        (["--trust-file", "run", "f"], StartOptions(trust_file=True, words=("run", "f"))),
        (["--version"], StartOptions(version=True)),
        (["-h"], StartOptions(help=True)),
        (["--", "-odd"], StartOptions(words=("-odd",))),
        (["get", "-"], StartOptions(words=("get", "-"))),
    ],
)
def test_options_end_at_the_first_word(argv: list[str], expected: StartOptions) -> None:
    """Our options come first; the command's words are left untouched."""
    assert read_start_options(argv) == expected


@pytest.mark.parametrize(
    "argv",
    [
        ["--nope"],
        ["-x"],
        ["--server"],
        ["--format", "xml"],
        ["--version=1"],
        ["-c", "a", "b"],
        ["-", "x"],
    ],
)
def test_wrong_options_are_usage_errors(argv: list[str]) -> None:
    """Unknown options, missing values and words that cannot follow are refused."""
    with pytest.raises(UsageError):
        read_start_options(argv)


@given(st.lists(st.text(max_size=8), max_size=5))
def test_any_words_are_options_or_a_usage_error(argv: list[str]) -> None:
    """Nothing but UsageError comes out."""
    with contextlib.suppress(UsageError):
        words = read_start_options(argv).words
        assert list(words) == argv[len(argv) - len(words) :]
