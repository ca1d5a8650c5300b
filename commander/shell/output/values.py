"""How single values read: exact for scripts, short for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from commander.clock import iso_utc
from commander.plugin.results import Plain, Shape

_SIZE_STEP = 1024
_SIZE_UNITS = ("KiB", "MiB", "GiB", "TiB")
_TIME_RANGE = (0, 253_402_300_799)  # up to the year 9999, which ISO 8601 can write


def for_scripts(value: Plain, shape: Shape = Shape.PLAIN) -> Plain:
    """The exact value: times as ISO 8601 UTC, all else as it is."""
    if shape is Shape.TIME and _is_number(value):
        return _time(value)
    return value


def for_people(value: Plain, shape: Shape = Shape.PLAIN) -> str:
    """A short text; not yet safe for a terminal."""
    if value is None:
        return ""
    if _is_number(value):
        assert isinstance(value, int | float)
        if shape is Shape.TIME:
            return str(_time(value))
        if shape is Shape.SIZE:
            return size_text(value)
        if shape is Shape.DURATION:
            return duration_text(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={for_people(item)}" for key, item in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(for_people(item) for item in value)
    return str(value)


def size_text(size: float) -> str:
    """Bytes as `512 B`, `1.5 MiB`."""
    if abs(size) < _SIZE_STEP:
        return f"{size:.0f} B"
    power = 0
    while abs(size) >= _SIZE_STEP and power < len(_SIZE_UNITS):
        size /= _SIZE_STEP
        power += 1
    return f"{size:.1f} {_SIZE_UNITS[power - 1]}"


def duration_text(seconds: float) -> str:
    """Seconds as `12s`, `3m 5s`, `2h 10m`, `4d 2h`."""
    whole = max(int(seconds), 0)
    days, hours, minutes, rest = (
        whole // 86_400,
        whole // 3600 % 24,
        whole // 60 % 60,
        whole % 60,
    )
    if days:
        return f"{days}d {hours}h"
    if hours:
        return f"{hours}h {minutes}m"
    return f"{minutes}m {rest}s" if minutes else f"{rest}s"


def _is_number(value: Plain) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _time(value: Plain) -> Plain:
    assert isinstance(value, int | float)
    low, high = _TIME_RANGE
    return iso_utc(value) if low <= value <= high else value
