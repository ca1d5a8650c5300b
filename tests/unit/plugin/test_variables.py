from __future__ import annotations

import pytest

from commander.errors import InvalidInput
from commander.plugin.variables import MAX_VALUE, MAX_VARIABLES, SessionVariables


def test_values_are_kept_and_listed_in_order() -> None:
    """What is set is read back; the list is a sorted copy."""
    variables = SessionVariables()
    variables.set("b", "2")
    variables.set("a", "1")
    listed = variables.all()
    variables.set("a", "3")

    assert listed == {"a": "1", "b": "2"}
    assert variables.get("a") == "3"
    assert variables.get("c") is None


@pytest.mark.parametrize("name", ["", "1a", "a-b", "a b", "é", "env:X", "a" * 129, "a\n"])
def test_bad_names_are_refused(name: str) -> None:
    """Names are letters, digits and _, so that ${NAME} can be written for each."""
    with pytest.raises(InvalidInput):
        SessionVariables().set(name, "x")


def test_variables_are_bounded() -> None:
    """Number and size have limits; setting one again is no new one."""
    variables = SessionVariables()
    for number in range(MAX_VARIABLES):
        variables.set(f"v{number}", "x")
    variables.set("v0", "y")
    with pytest.raises(InvalidInput):
        variables.set("more", "x")
    with pytest.raises(InvalidInput):
        variables.set("v0", "x" * (MAX_VALUE + 1))
