"""Tests of plugins/programs/templates.py."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commander.errors import InvalidInput
from commander.ksm.notation import parse_notation
from plugins.programs.templates import MAX_PLACES, parse_template, parse_value

NOTATION = "keeper://UID/field/password"
VALUES = {parse_notation(NOTATION): "p\"ä/'$", parse_notation("keeper://My DB/title"): "My DB"}


def fill(text: str) -> str:
    """The template with the values above."""
    return parse_template(text).fill(VALUES)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no notation {{ x }}", "no notation {{ x }}"),
        (f"a: {NOTATION}\n", "a: p\"ä/'$\n"),
        (f'"{NOTATION}"', '"p"ä/\'$"'),
        (f"u:{{{{{NOTATION}}}}}@h", "u:p\"ä/'$@h"),
        ("{{ Keeper://My DB/title }}", "My DB"),
        (f"{{{{ {NOTATION} | json }}}}", "p\\\"\\u00e4/'$"),
        (f"{{{{ {NOTATION} |url}}}}", "p%22%C3%A4%2F%27%24"),
        (f"{{{{ {NOTATION}|base64 }}}}", "cCLDpC8nJA=="),
        (f"{{{{ {NOTATION} | shell }}}}", "'p\"ä/'\"'\"'$'"),
        (f"{NOTATION} {NOTATION}", "p\"ä/'$ p\"ä/'$"),
    ],
)
def test_values_come_in_place_of_notation(text: str, expected: str) -> None:
    """Bare or in braces, as it is or in another form."""
    assert fill(text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f"\n{NOTATION}[", "line 2: .* no notation"),
        ("{{ keeper://UID }}", "line 1"),
        (f"{{{{ {NOTATION} | upper }}}}", "no filter 'upper'"),
        ("{{ keeper://UID/title }", "closing"),
        (f"{NOTATION} " * (MAX_PLACES + 1), "more than"),
    ],
)
def test_a_malformed_notation_is_named_with_its_line(text: str, reason: str) -> None:
    """Nothing is left standing in silence."""
    with pytest.raises(InvalidInput, match=reason):
        parse_template(text)


@given(st.text(alphabet="{} |keepr:/Uxfild\n\\[]", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    """And what holds no notation comes out as it was."""
    with contextlib.suppress(InvalidInput):
        template = parse_template(text)
        assert template.places or template.fill({}) == text


def test_the_value_of_a_variable_is_one_notation_or_has_some_in_braces() -> None:
    """A notation in the midst of an ordinary value, without braces, is text."""
    assert parse_value(NOTATION).fill(VALUES) == VALUES[parse_notation(NOTATION)]
    assert parse_value("keeper://My DB/title").fill(VALUES) == "My DB"
    assert parse_value(f"x{{{{{NOTATION} | url}}}}y").fill(VALUES) == "xp%22%C3%A4%2F%27%24y"
    assert parse_value(f"see {NOTATION}").fill({}) == f"see {NOTATION}"
