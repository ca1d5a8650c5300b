"""
The one gate that text passes on its way to a terminal.

Titles, log tails, error texts of peers and databases may hold sequences that
repaint the screen, write the clipboard, or make the terminal type. Everything
that is not plain visible text is written as an escape that can be read: C0, DEL,
C1, direction marks, zero-width characters, line separators, tags, lone surrogates.
"""

from __future__ import annotations

import re

# Classes of Unicode 15 by what they do to a terminal or to the eye of the reader.
_UNSAFE_CLASS = (
    "\x00-\x1f\x7f-\x9f"  # C0, DEL, C1
    "\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\uffa0"  # invisible letters
    "\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # direction, zero width
    "\ud800-\udfff"  # lone surrogates
    "\U000e0000-\U000e0fff"  # tags and variation selectors of no visible form
)
UNSAFE = re.compile(f"[{_UNSAFE_CLASS}]")
_UNSAFE_BUT_NEWLINE = re.compile(f"(?!\n)[{_UNSAFE_CLASS}]")


def escape_line(text: str) -> str:
    """Make a text safe on one line: newlines and tabs are written as escapes too."""
    return UNSAFE.sub(_escape, text)


def escape_text(text: str) -> str:
    """Make a text of several lines safe: newlines stay, tabs become spaces."""
    return _UNSAFE_BUT_NEWLINE.sub(_escape, text.expandtabs())


def escape_json(document: str) -> str:
    """
    Write unsafe characters of a JSON (or double-quoted YAML) document as \\u escapes.

    The document still means the same; newlines of its layout stay.
    """
    return _UNSAFE_BUT_NEWLINE.sub(_json_escape, document)


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    named = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(character)
    if named is not None:
        return named
    code = ord(character)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def _json_escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code <= 0xFFFF:
        return f"\\u{code:04x}"
    high, low = 0xD800 + ((code - 0x10000) >> 10), 0xDC00 + ((code - 0x10000) & 0x3FF)
    return f"\\u{high:04x}\\u{low:04x}"
