"""The machine's resolver is asked in a thread that nobody waits for longer than wanted."""

from __future__ import annotations

import socket

import pytest

from commander.diagnosis.resolving import resolve

pytestmark = pytest.mark.integration


async def test_names_and_addresses_are_resolved() -> None:
    """localhost is known everywhere; an address is its own."""
    assert set(await resolve("localhost", 1)) & {"127.0.0.1", "::1"}
    assert await resolve("127.0.0.1", 1) == ["127.0.0.1"]


@pytest.mark.parametrize("name", ["no-such-name.invalid", "x" * 300, "a..b"])
async def test_a_name_that_is_not_known_is_an_error_of_the_system(name: str) -> None:
    """Reserved, too long and malformed names raise what the resolver raises."""
    with pytest.raises(socket.gaierror):
        await resolve(name, 1)
