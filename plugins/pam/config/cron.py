"""
The five-field cron line of a rotation schedule: minute, hour, day of month, month, day of week.

Fields are `*`, numbers, names (JAN, MON), ranges `a-b`, steps `/n` and lists of these. Times are
UTC. Only the form is checked here.
"""

from __future__ import annotations

import re

from commander.errors import InvalidInput

MAX_CRON = 200
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_FIELDS: tuple[tuple[str, int, int, dict[str, int]], ...] = (
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day of month", 1, 31, {}),
    ("month", 1, 12, {name: number for number, name in enumerate(_MONTHS, start=1)}),
    # Both 0 and 7 are Sunday.
    ("day of week", 0, 7, {name: number for number, name in enumerate(_DAYS)}),
)
_PART = re.compile(
    r"(?P<first>\*|\w{1,3})(?:-(?P<last>\w{1,3}))?(?:/(?P<step>\d{1,2}))?\Z", re.ASCII
)


def check_cron(text: str) -> str:
    """The line with single spaces. Raises InvalidInput that names the field and what is wrong."""
    fields = text.split()
    if len(text) > MAX_CRON or len(fields) != len(_FIELDS):
        raise InvalidInput(
            f"the schedule {text[:60]!r} has {len(fields)} fields, not 5",
            hint="minute hour day-of-month month day-of-week, for example '0 3 * * SUN'",
        )
    for field, (name, low, high, names) in zip(fields, _FIELDS, strict=True):
        for part in field.split(","):
            _check_part(part, name, low, high, names)
    return " ".join(fields)


def _check_part(part: str, name: str, low: int, high: int, names: dict[str, int]) -> None:
    match = _PART.match(part)
    if match is None or (match["first"] == "*" and match["last"] is not None):
        raise InvalidInput(f"{part[:20]!r} is no {name} of a schedule")
    if match["step"] is not None and not 0 < int(match["step"]) <= high:
        raise InvalidInput(f"step {match['step']} of the {name} is not 1 to {high}")
    if match["first"] == "*":
        return
    first = _number(match["first"], name, low, high, names)
    if match["last"] is not None and _number(match["last"], name, low, high, names) < first:
        raise InvalidInput(f"range {part[:20]!r} of the {name} runs backwards")


def _number(text: str, name: str, low: int, high: int, names: dict[str, int]) -> int:
    number = int(text) if text.isdigit() else names.get(text.upper(), -1)
    if not low <= number <= high:
        raise InvalidInput(f"{text!r} is no {name}: it is {low} to {high}")
    return number
