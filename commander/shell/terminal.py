"""What kind of terminal, if any, the streams of this process are; found once at start."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TextIO

_DEFAULT_WIDTH = 80
_MIN_WIDTH = 20
_MAX_WIDTH = 1000


@dataclass(frozen=True)
class Terminal:
    """
    Which streams are terminals, and what may be sent to them.

    `colour` is off for NO_COLOR, TERM=dumb or no terminal. `width` is always usable.
    """

    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    colour: bool = False
    is_dumb: bool = False
    width: int = _DEFAULT_WIDTH

    @property
    def is_interactive(self) -> bool:
        """Whether questions can be asked: the answer comes from stdin, the question is on stderr."""
        return self.stdin and self.stderr


def find_terminal(
    stdin: TextIO | None, stdout: TextIO, stderr: TextIO, environment: Mapping[str, str]
) -> Terminal:
    """Look at the streams and the environment; a closed stdin is no terminal."""
    is_dumb = environment.get("TERM", "dumb") in ("", "dumb", "unknown")
    is_out = stdout.isatty()
    return Terminal(
        stdin=stdin is not None and not stdin.closed and stdin.isatty(),
        stdout=is_out,
        stderr=stderr.isatty(),
        # https://no-color.org: any value but the empty one.
        colour=is_out and not is_dumb and not environment.get("NO_COLOR"),
        is_dumb=is_dumb,
        width=_width(stdout, environment) if is_out else _DEFAULT_WIDTH,
    )


def _width(stdout: TextIO, environment: Mapping[str, str]) -> int:
    asked = environment.get("COLUMNS", "")
    if asked.isascii() and asked.isdigit() and int(asked[:6]) > 0:
        width = int(asked[:6])
    else:
        try:
            width = os.get_terminal_size(stdout.fileno()).columns
        except OSError:
            width = 0
    # Serial consoles and some CI systems report 0.
    return min(max(width, _MIN_WIDTH), _MAX_WIDTH) if width else _DEFAULT_WIDTH
