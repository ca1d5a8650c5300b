from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commander.shell.output.gate import UNSAFE, escape_json, escape_line, escape_text

ATTACKS = [
    "\x1b]52;c;AAAA\x07",  # write the clipboard
    "\x1b]0;title\x1b\\",  # set the title
    "\x1b]8;;http://evil\x07link\x1b]8;;\x07",  # hyperlink
    "\x1b[2J",  # clear the screen
    "\x1bP+q544e\x1b\\",  # DCS query, answered into the keyboard buffer
    "\x9b2J",  # the same with C1
    "\x90q\x9c",
    "\x7f\x08\x08",
    "abc\u202egpj.exe",  # right-to-left override
    "a\u2066b\u2069",
    "zero\u200bwidth\u200d\ufeff",
    "line\u2028break\u2029",
    "soft\u00adhyphen",
    "tag\U000e0041",
    "\udc80",
    "\r overwritten",
    "null\0",
]


@pytest.mark.parametrize("attack", ATTACKS)
def test_b027_nothing_that_acts_on_a_terminal_passes(attack: str) -> None:
    """Every control, direction and invisible character becomes an escape that can be read."""
    for safe in (escape_line(attack), escape_text(attack)):
        assert not UNSAFE.search(safe.replace("\n", ""))
        assert "\\" in safe


@given(st.text())
def test_no_text_passes_unsafe(text: str) -> None:
    """For any text: one line has nothing unsafe, several lines have newlines only."""
    assert not UNSAFE.search(escape_line(text))
    assert not UNSAFE.search(escape_text(text).replace("\n", ""))


@pytest.mark.parametrize("text", ["Orders DB", "Café 中文 🙂", "a\\b", "100 %", "é\u0301"])
def test_plain_text_is_unchanged(text: str) -> None:
    """Letters of all scripts, emoji and punctuation stay as they are."""
    assert escape_line(text) == text
    assert escape_text(text) == text


def test_newlines_and_tabs() -> None:
    """On one line they are escapes; in a text newlines stay and tabs become spaces."""
    assert escape_line("a\n\tb") == "a\\n\\tb"
    assert escape_text("a\n\tb") == "a\n        b"


@given(st.text())
def test_escaped_json_means_the_same(text: str) -> None:
    """The escapes of a JSON document do not change what it says."""
    document = json.dumps({"k": text}, ensure_ascii=False, indent=2)
    safe = escape_json(document)

    assert json.loads(safe) == {"k": text}
    assert not UNSAFE.search(safe.replace("\n", ""))
