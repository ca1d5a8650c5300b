from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commander.plugin.registry import Registry
from commander.shell.highlight import Style, highlight
from tests.unit.plugin.sample import commander_commands

REGISTRY = Registry()
REGISTRY.add("sample", commander_commands())


def styled(line: str) -> list[tuple[str, Style]]:
    return [(line[span.start : span.end], span.style) for span in highlight(line, REGISTRY)]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("pam t start", [("pam", Style.COMMAND), ("t", Style.COMMAND), ("start", Style.COMMAND)]),
        ("mv 'a b' # x", [("mv", Style.COMMAND), ("'a b'", Style.TEXT), ("# x", Style.COMMENT)]),
        ("pa", []),
        ("zzz", [("zzz", Style.WRONG)]),
        ("pa x", [("pa", Style.WRONG)]),
        ("pam t zz", [("pam", Style.COMMAND), ("t", Style.COMMAND), ("zz", Style.WRONG)]),
        ("tl --bad", [("tl", Style.COMMAND), ("--bad", Style.WRONG)]),
        ("mv 'open", [("mv", Style.COMMAND), ("'open", Style.WRONG)]),
        (
            "record-add --title T --pin-code 12 ${X}",
            [
                ("record-add", Style.COMMAND),
                ("--title", Style.FLAG),
                ("T", Style.VALUE),
                ("--pin-code", Style.FLAG),
                ("12", Style.SECRET),
                ("${X}", Style.VARIABLE),
            ],
        ),
        ("mv a; tl", [("mv", Style.COMMAND), ("a", Style.TEXT), ("tl", Style.COMMAND)]),
    ],
)
def test_styles_of_words(line: str, expected: list[tuple[str, Style]]) -> None:
    """Commands, flags, values, secrets, variables, comments and mistakes are told apart."""
    assert styled(line) == expected


@given(st.text(max_size=40))
def test_spans_are_in_order_for_any_text(line: str) -> None:
    """No text raises; spans do not overlap and lie inside the line."""
    at = 0
    for span in highlight(line, REGISTRY):
        assert at <= span.start < span.end <= len(line)
        at = span.end
