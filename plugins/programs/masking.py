"""
Scrubbing known secrets from a stream of bytes, however it is cut. Pure.

A secret is looked for as it is, and as programs print it: in JSON and shell quotes, in a URL, as hex, and as
base64 at any place of a longer text. Of a secret of several lines each longer line counts alone, of a long
line each piece of it: searching goes back to the next byte when a secret nearly fits, so how far one may
fit bounds what hostile output costs.
"""

from __future__ import annotations

import base64
import json
import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

MASK = b"********"
# Shorter ones are part of ordinary words: masking them would tell more than it hides.
MIN_BYTES = 4
# In base64 and hex; shorter ones are found by chance.
MIN_ENCODED_BYTES = 6
MAX_PATTERNS = 20_000
PIECE = 512
# Pieces overlap by more than what the borders of a piece hide in base64: what they cover has no gaps.
_OVERLAP = 8


def spellings(secret: str) -> set[bytes]:
    """All byte strings that stand for a secret in a program's output."""
    lines = {secret, *(line.strip() for line in secret.splitlines())}
    found: set[bytes] = set()
    for text in {piece for line in lines for piece in _pieces(line)}:
        raw = text.encode("utf-8", "surrogateescape")
        if len(raw) >= MIN_BYTES:
            found |= {raw, *_escaped(text)}
        if len(raw) >= MIN_ENCODED_BYTES:
            found |= {raw.hex().encode(), raw.hex().upper().encode(), *_base64(raw)}
    return found


def _pieces(text: str) -> Iterator[str]:
    last = max(len(text) - PIECE, 0)
    for start in range(0, last, PIECE - _OVERLAP):
        yield text[start : start + PIECE]
    yield text[last:]


def _escaped(text: str) -> Iterator[bytes]:
    plain = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    forms = [
        text.replace("\n", "\r\n"),
        text.replace("'", "'\\''"),
        repr(plain)[1:-1],
        quote(plain),
        quote(plain, safe=""),
        quote_plus(plain),
    ]
    forms.append(re.sub("%[0-9A-F]{2}", lambda code: code[0].lower(), quote(plain, safe="")))
    for is_ascii in (True, False):
        in_json = json.dumps(plain, ensure_ascii=is_ascii)[1:-1]
        forms += [in_json, in_json.replace("/", "\\/")]
    for form in forms:
        yield form.encode("utf-8", "surrogateescape")


def _base64(raw: bytes) -> Iterator[bytes]:
    # Where the text before it has another length, its bits stand elsewhere: three forms, each
    # without the characters that also hold bits of what is around it.
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + raw)
        first = (before * 8 + 5) // 6
        last = (before + len(raw)) * 8 // 6
        inner = encoded[first:last]
        yield inner
        yield inner.translate(bytes.maketrans(b"+/", b"-_"))


class Masker:
    """
    Replaces secrets in a stream: give it chunks with `feed`, and at the end `finish`.

    What may be the beginning of a secret is held back until it is known, so at most as much as
    the longest secret. Overlapping secrets are all covered.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        patterns = {form for secret in secrets for form in spellings(secret)}
        if len(patterns) > MAX_PATTERNS:
            raise ValueError("too many secrets to look for")
        self._sorted = sorted(patterns)
        self._longest = max(map(len, patterns), default=0)
        self._first = frozenset(pattern[0] for pattern in patterns)
        self._find = re.compile(b"(?=(" + _alternatives(self._sorted) + b"))") if patterns else None
        self._held = b""
        # So many bytes at the beginning of what is held are part of a secret whose mask is out.
        self._covered = 0

    def feed(self, data: bytes) -> bytes:
        """Take what came; returns what can be passed on."""
        return self._step(data, is_last=False)

    def finish(self) -> bytes:
        """The stream has ended; returns the rest."""
        return self._step(b"", is_last=True)

    def _step(self, data: bytes, *, is_last: bool) -> bytes:
        if self._find is None:
            return data
        text = self._held + data
        hold = len(text) if is_last else self._possible_start(text)
        out: list[bytes] = []
        covered = self._covered
        for start, end in self._hits(text):
            # A hit is whole, so it is masked now even where it reaches into what is held.
            if start >= hold:
                break
            if start >= covered:
                out += [text[covered:start], MASK]
            covered = max(covered, end)
        if covered < hold:
            out.append(text[covered:hold])
        self._held = text[hold:]
        self._covered = max(covered - hold, 0)
        return b"".join(out)

    def _hits(self, text: bytes) -> Iterator[tuple[int, int]]:
        assert self._find is not None
        for found in self._find.finditer(text):
            yield found.start(1), found.end(1)

    def _possible_start(self, text: bytes) -> int:
        """Where the earliest beginning of a secret stands that the end of the text cuts off."""
        for start in range(max(0, len(text) - self._longest + 1), len(text)):
            if text[start] in self._first and self._begins(text[start:]):
                return start
        return len(text)

    def _begins(self, rest: bytes) -> bool:
        place = bisect_left(self._sorted, rest)
        # The secret itself is not a beginning, but a longer one may follow it in the order.
        while place < len(self._sorted) and self._sorted[place].startswith(rest):
            if len(self._sorted[place]) > len(rest):
                return True
            place += 1
        return False


def _alternatives(patterns: list[bytes], depth: int = 2) -> bytes:
    """A pattern that matches the longest of some, grouped byte by byte by how they begin."""
    if not depth or len(patterns) == 1:
        longest_first = sorted(patterns, key=len, reverse=True)
        return b"|".join(re.escape(pattern) for pattern in longest_first)
    groups: dict[bytes, list[bytes]] = {}
    for pattern in patterns:
        groups.setdefault(pattern[:1], []).append(pattern[1:])
    parts = (
        re.escape(begin) + b"(?:" + _alternatives(rests, depth - 1) + b")"
        for begin, rests in groups.items()
    )
    return b"|".join(parts)
