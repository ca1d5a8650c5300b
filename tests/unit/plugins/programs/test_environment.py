"""Tests of plugins/programs/environment.py."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commander.errors import InvalidInput
from plugins.programs.environment import (
    MAX_FILE,
    MAX_NAMES,
    parse_environment,
    parse_setting,
)


def parse(text: str) -> dict[str, str]:
    """What a file with this text holds."""
    return parse_environment(text.encode(), name="app.env")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A=1", {"A": "1"}),
        ("\ufeffA=1\r\nB = two words  \r\n", {"A": "1", "B": "two words"}),
        ("# comment\n\n  export A=x # why\n  # end", {"A": "x"}),
        ("A=a#b\nB=#\nC=", {"A": "a#b", "B": "", "C": ""}),
        ("A='x \\n # $Y'  # c", {"A": "x \\n # $Y"}),
        ('A="x\\n\\t\\r\\"\\\\\\$\\q"', {"A": 'x\n\t\r"\\$\\q'}),
        ('A="two\nlines"\nB=1', {"A": "two\nlines", "B": "1"}),
        ("A=1\nA=2\n", {"A": "2"}),
        ("A=keeper://UID/field/pass#1", {"A": "keeper://UID/field/pass#1"}),
        ("", {}),
    ],
)
def test_lines_are_read(text: str, expected: dict[str, str]) -> None:
    """Comments, quotes, exports, several lines."""
    assert parse(text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("A=1\nno sign", "line 2: this is not NAME=VALUE"),
        ("=x", "line 1: this is not"),
        ("1A=x", "no name of a variable"),
        ("A='x", "closing quote is missing"),
        ('A="x', "closing quote is missing"),
        ("A='x'y", "something follows"),
        ("A=\0", "NUL"),
    ],
)
def test_what_is_no_environment_is_refused_with_its_line(text: str, reason: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(InvalidInput, match=reason):
        parse(text)


def test_a_file_is_bounded() -> None:
    """By size, by names, and by being text."""
    for data in (b"#" * (MAX_FILE + 1), b"A=\xff"):
        with pytest.raises(InvalidInput, match=r"app\.env"):
            parse_environment(data, name="app.env")
    with pytest.raises(InvalidInput, match="more than"):
        parse("".join(f"A{number}=\n" for number in range(MAX_NAMES + 1)))


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    """No other error comes out."""
    with contextlib.suppress(InvalidInput):
        parse_environment(text.encode("utf-8", "surrogatepass"), name="x")


@given(st.text(alphabet=st.characters(exclude_characters="\0\r", exclude_categories=["Cs"])))
def test_a_double_quoted_value_keeps_everything(value: str) -> None:
    """Quoting by the documented rule is undone exactly."""
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')

    assert parse(f'A="{quoted}"') == {"A": value}


def test_a_flag_sets_one() -> None:
    """The value begins behind the first `=`."""
    assert parse_setting("A=b=c") == ("A", "b=c")
    for text in ("A", "1=2", "A=\0"):
        with pytest.raises(InvalidInput):
            parse_setting(text)
