from __future__ import annotations

import io

import pytest

from commander.shell.terminal import find_terminal


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


class Pipe(io.StringIO):
    pass


ANSI = {"TERM": "xterm"}


@pytest.mark.parametrize(
    ("environment", "colour"),
    [
        (ANSI, True),
        ({}, False),
        ({"TERM": ""}, False),
        ({"TERM": "dumb"}, False),
        (ANSI | {"NO_COLOR": "1"}, False),
        (ANSI | {"NO_COLOR": ""}, True),
    ],
)
def test_b013_colour_follows_term_and_no_color(environment: dict[str, str], colour: bool) -> None:
    """NO_COLOR with a value, TERM=dumb or no TERM switch colour off."""
    assert find_terminal(Screen(), Screen(), Screen(), environment).colour is colour
    assert find_terminal(Screen(), Pipe(), Screen(), environment).colour is False


@pytest.mark.parametrize(
    ("columns", "width"),
    [("0", 80), ("1", 20), ("80", 80), ("1000", 1000), ("99999999999", 1000), ("x", 80), ("٣", 80)],
)
def test_b013_any_width_is_usable(columns: str, width: int) -> None:
    """Widths of 0 and of nonsense are 80, tiny ones 20, huge ones 1000."""
    found = find_terminal(Screen(), Screen(), Screen(), ANSI | {"COLUMNS": columns})

    assert found.width == width


def test_b011_a_closed_stdin_is_no_terminal() -> None:
    """Without stdin, or with a closed one, nobody can be asked."""
    closed = Screen()
    closed.close()
    for stdin in (None, closed, Pipe()):
        assert not find_terminal(stdin, Screen(), Screen(), ANSI).is_interactive
    assert find_terminal(Screen(), Pipe(), Screen(), ANSI).is_interactive
