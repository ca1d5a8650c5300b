from __future__ import annotations

import re
from collections.abc import Mapping

from commander.errors import InvalidInput

MAX_VARIABLES = 1000
MAX_VALUE = 64 * 1024
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}\Z")


class SessionVariables:
    """The values of `${NAME}` in this session; bounded, and without control of their text."""

    def __init__(self) -> None:
        self._values: dict[str, str] = {}

    def get(self, name: str) -> str | None:
        """The value, or None."""
        return self._values.get(name)

    def set(self, name: str, value: str) -> None:
        """Set a value. Raises InvalidInput for a bad name, an over-long value or too many."""
        if not _NAME.match(name):
            raise InvalidInput(
                f"{name[:60]!r} is not a variable name", hint="letters, digits and _ only"
            )
        if len(value) > MAX_VALUE:
            raise InvalidInput(f"the value of {name} is longer than {MAX_VALUE} characters")
        if name not in self._values and len(self._values) >= MAX_VARIABLES:
            raise InvalidInput(f"more than {MAX_VARIABLES} variables")
        self._values[name] = value

    def all(self) -> Mapping[str, str]:
        """A copy of all of them, sorted by name."""
        return dict(sorted(self._values.items()))
