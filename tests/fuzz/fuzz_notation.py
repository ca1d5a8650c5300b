"""
Notation, alone, in templates and in files of variables; then looked up in a record.

Documented are InvalidInput for texts, NotFound and Conflict for what a record does not hold. What is read is
written again as the same notation.
"""

from __future__ import annotations

import contextlib

from commander.errors import Conflict, InvalidInput, NotFound
from commander.ksm.notation import Notation, Selector, parse_notation, select, value_text
from plugins.programs.environment import parse_environment
from plugins.programs.templates import parse_template, parse_value

NAME = "notation"

_CONTENT = {
    "title": "a",
    "type": "login",
    "fields": [{"type": "password", "value": ["x"]}, {"type": "url"}, {"type": "n", "value": [{}]}],
    "custom": [{"type": "phone", "label": "b", "value": [{"number": "1"}, None, 2]}] * 2,
}


def seeds() -> list[bytes]:
    """Each form once."""
    return [
        b"keeper://pbxV4snkAP9KGCUhSb6aQQ/field/password",
        rb"Or\/ders \[1\]/custom_field/phone[1][number]",
        b"a/field/n[][x]",
        b"a/file/b.pem",
        b"a2VlcGVyOi8vYS90aXRsZQ",
        b"x: {{ keeper://a/title | json }} keeper://a/notes\n",
        b"# c\nexport A='x'\nB=\"y\\n\" # d\nC=keeper://a/field/url[0]\n",
    ]


def fuzz(data: bytes) -> None:
    """Feed all parsers; anything but a documented error comes through."""
    text = data.decode("utf-8", "surrogateescape")
    with contextlib.suppress(InvalidInput):
        _look_up(parse_notation(text))
    for parse in (parse_template, parse_value):
        with contextlib.suppress(InvalidInput):
            template = parse(text)
            values = {notation: "v" for notation, _ in template.places}
            assert template.places or template.fill(values) == text
    with contextlib.suppress(InvalidInput):
        parse_environment(data, name="fuzz")


def _look_up(notation: Notation) -> None:
    assert parse_notation(str(notation)) == notation, "it is not read as it was written"
    if notation.selector is not Selector.FILE:
        with contextlib.suppress(NotFound, Conflict):
            assert value_text(select(_CONTENT, notation)), "an empty value came out"
