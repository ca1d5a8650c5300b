"""
Texts with notation in them, and putting the values there. Pure.

    {{ keeper://UID/field/password }}        anything in between, white space around it is dropped
    {{ keeper://UID/field/password | url }}  the value percent-encoded; also json, base64, shell
    keeper://UID/field/password              to the next white space or quote
"""

from __future__ import annotations

import base64
import json
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

from commander.errors import InvalidInput
from commander.ksm.notation import MAX_NOTATION, Notation, is_notation, parse_notation

MAX_PLACES = 10_000
# Bounded on both sides, so that no text makes the search go over it again and again.
_PLACE = re.compile(r"(?P<braces>\{\{\s{0,16})?keeper://", re.IGNORECASE)
_BARE = re.compile(r"[^\s\"'`]+")
_MAX_INNER = MAX_NOTATION + 64
_FILTER = re.compile(r"\|\s{0,16}(?P<name>[a-z0-9]{1,16})\Z", re.ASCII)
FILTERS: dict[str, Callable[[str], str]] = {
    "json": lambda text: json.dumps(text)[1:-1],
    "url": lambda text: quote(text, safe=""),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "shell": shlex.quote,
}


@dataclass(frozen=True)
class Template:
    """Texts and notations in turn: `texts` has one more than `places`."""

    texts: tuple[str, ...]
    places: tuple[tuple[Notation, str], ...]

    def fill(self, values: dict[Notation, str]) -> str:
        """The text with the values in it."""
        out = [self.texts[0]]
        for (notation, name), text in zip(self.places, self.texts[1:], strict=True):
            value = values[notation]
            out += [FILTERS[name](value) if name else value, text]
        return "".join(out)


def parse_template(text: str) -> Template:
    """Find the notations. Raises InvalidInput with the line for one that is malformed."""
    texts, places, place, line = [], [], 0, 1
    while found := _PLACE.search(text, place):
        line += text.count("\n", place, found.start())
        texts.append(text[place : found.start()])
        written, name, place = _written(text, found, f"line {line}")
        places.append((_notation(written, f"line {line}"), name))
        line += text.count("\n", found.start(), place)
        if len(places) > MAX_PLACES:
            raise InvalidInput(f"more than {MAX_PLACES} notations")
    return Template((*texts, text[place:]), tuple(places))


def _written(text: str, found: re.Match[str], where: str) -> tuple[str, str, int]:
    """The notation as it is written, the filter behind it, and where both end."""
    if not found["braces"]:
        bare = _BARE.match(text, found.start())
        assert bare is not None, "it begins with keeper://"
        return bare[0], "", bare.end()
    start = found.end("braces")
    end = text.find("}}", start, start + _MAX_INNER)
    if end < 0:
        raise InvalidInput(f"{where}: the closing }}}} of {{{{ keeper:// is missing")
    inner, name = text[start:end].rstrip(), ""
    filtered = _FILTER.search(inner)
    if filtered:
        inner, name = inner[: filtered.start()].rstrip(), filtered["name"]
    if name and name not in FILTERS:
        raise InvalidInput(
            f"{where}: there is no filter {name!r}", hint=f"there are {', '.join(FILTERS)}"
        )
    return inner, name, end + 2


def _notation(written: str, where: str) -> Notation:
    try:
        return parse_notation(written)
    except InvalidInput as error:
        hint = "where other text follows at once, write {{ keeper://... }}"
        raise InvalidInput(f"{where}: {error.message}", hint=hint) from None


def parse_value(text: str) -> Template:
    """
    Read the value of a variable: all of it is one notation, or there are some in {{ }}.

    Raises InvalidInput.
    """
    if is_notation(text):
        return Template(("", ""), ((parse_notation(text), ""),))
    return parse_template(text) if "{{" in text else Template((text,), ())
