from __future__ import annotations

import pytest

from commander.backend.core import Core
from commander.backend.storage import clients
from commander.ids import new_uid
from commander.wire.calls import NewClient

pytestmark = pytest.mark.integration


def client(client_id: str, application: str) -> NewClient:
    return NewClient(client_id, application, "client", "", b"n", b"ak", b"", 100, 0, True)


async def test_client_is_bound_once(core: Core) -> None:
    """The second key finds it taken, and its first use ends the key under the token."""
    application = new_uid()
    async with core.database.transaction() as transaction:
        connection = transaction.connection
        await clients.add(connection, client("a" * 88, application), now=1)
        await clients.add(connection, client("b" * 88, application), now=2)
        await clients.lock_address(connection, "a" * 88, "192.0.2.1")
        bound = [
            await clients.bind(connection, "a" * 88, public_key=key, address="192.0.2.2", now=3)
            for key in (b"first", b"second")
        ]
        for _ in range(2):
            assert await clients.settle(connection, "a" * 88, address="192.0.2.2", now=9)

    async with core.database.reading() as connection:
        first, second = await clients.of_application(connection, application)
    assert bound == [True, False]
    assert (first.public_key, first.app_key, first.address) == (b"first", b"", "192.0.2.2")
    assert (first.first_access, first.last_access, first.is_bound) == (3, 9, True)
    assert (second.is_bound, second.app_key) == (False, b"ak")
    assert (second.row().bound, second.row().kind) == (False, "client")


async def test_first_address_of_a_locked_client_is_chosen_once(core: Core) -> None:
    """The second address finds it taken, and changes nothing."""
    async with core.database.transaction() as transaction:
        connection = transaction.connection
        await clients.add(connection, client("a" * 88, new_uid()), now=1)
        settled = [
            await clients.settle(connection, "a" * 88, address=address, now=now)
            for address, now in (("192.0.2.1", 5), ("192.0.2.2", 6))
        ]
        found = await clients.find(connection, "a" * 88)

    assert settled == [True, False]
    assert found is not None
    assert (found.address, found.first_access, found.last_access) == ("192.0.2.1", 5, 5)


async def test_accesses_are_noted_together(core: Core) -> None:
    """The first one stays the first, and a client that is gone is passed over."""
    async with core.database.transaction() as transaction:
        connection = transaction.connection
        application = new_uid()
        for name in "ab":
            await clients.add(connection, client(name * 88, application), now=1)
        for time in (5, 70):
            accesses = [clients.Access(name * 88, f"192.0.2.{time}", time) for name in "abc"]
            await clients.used(connection, accesses)
        found = await clients.of_application(connection, application)

    assert [(one.first_access, one.last_access, one.address) for one in found] == (
        [(5, 70, "192.0.2.70")] * 2
    )


async def test_removed_client_is_unknown(core: Core) -> None:
    """And only that one."""
    async with core.database.transaction() as transaction:
        connection = transaction.connection
        for name in "ab":
            await clients.add(connection, client(name * 88, new_uid()), now=1)
        await clients.remove(connection, "a" * 88)
        assert await clients.find(connection, "a" * 88) is None
        assert await clients.find(connection, "b" * 88) is not None
