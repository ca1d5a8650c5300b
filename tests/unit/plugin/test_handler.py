from __future__ import annotations

from dataclasses import replace

import pytest

from commander.errors import CommanderError
from commander.plugin.handler import resolve_handler
from tests.unit.plugin import sample
from tests.unit.plugin.sample import LIST


def test_a_handler_is_found_by_its_name() -> None:
    """The string leads to the function itself."""
    assert resolve_handler(LIST) is sample.list_tunnels


@pytest.mark.parametrize(
    "handler",
    ["no.such.module:f", "tests.unit.plugin.sample:nothing", "tests.unit.plugin.sample:RECORDS"],
)
def test_a_handler_that_is_not_there_is_an_error_of_that_command(handler: str) -> None:
    """Neither a missing module nor a missing function ends the shell."""
    with pytest.raises(CommanderError, match="pam tunnel list cannot be loaded"):
        resolve_handler(replace(LIST, handler=handler))
