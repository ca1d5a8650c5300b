"""Calls of clients are noted without anybody waiting for the disk."""

from __future__ import annotations

import asyncio

import pytest

from commander.backend.core import Core
from commander.backend.storage import accesses, clients
from commander.backend.storage.accesses import Accesses
from commander.backend.storage.clients import StoredClient
from commander.ids import new_uid
from commander.wire.calls import NewClient

pytestmark = pytest.mark.integration
CLIENT = "a" * 88


@pytest.fixture(autouse=True)
async def _stored(core: Core) -> None:
    """One bound client."""
    new = NewClient(CLIENT, new_uid(), "client", "", b"n", b"", b"key", 100, 0, False)
    async with core.database.transaction() as transaction:
        await clients.add(transaction.connection, new, now=1)


async def stored(core: Core) -> StoredClient:
    async with core.database.reading() as connection:
        found = await clients.find(connection, CLIENT)
    assert found is not None
    return found


async def test_access_is_written_by_itself(core: Core) -> None:
    """Soon after, and what is served to devices is not read again for it."""
    generation = core.database.generation

    core.accesses.note(CLIENT, address="192.0.2.1", last=0, now=500)

    writer = core.accesses._writer
    assert writer is not None
    async with asyncio.timeout(60):
        await writer
    found = await stored(core)
    assert (found.last_access, found.address) == (500, "192.0.2.1")
    assert core.database.generation == generation


async def test_one_access_a_minute_is_noted(core: Core) -> None:
    """Whether the last one is stored or only noted."""
    notes = Accesses(core.database)
    notes.note(CLIENT, address="192.0.2.1", last=460, now=500)
    await notes.flush()
    assert (await stored(core)).last_access == 0

    for now in (520, 579, 580):
        notes.note(CLIENT, address=f"192.0.2.{now - 500}", last=460, now=now)
        await notes.flush()

    found = await stored(core)
    assert (found.first_access, found.last_access, found.address) == (520, 580, "192.0.2.80")
    await notes.close()


async def test_close_writes_what_waits(core: Core) -> None:
    """A server that is stopped forgets nothing."""
    notes = Accesses(core.database)
    notes.note(CLIENT, address="192.0.2.1", last=0, now=500)

    await notes.close()

    assert (await stored(core)).last_access == 500


async def test_access_that_could_not_be_written_is_noted_at_the_next_call(core: Core) -> None:
    """A full disk keeps no device from reading, and costs only the time until it calls again."""
    notes = Accesses(core.database)
    notes.note(CLIENT, address="192.0.2.1", last=0, now=500)
    core.database._is_broken = True
    await notes.flush()
    core.database._is_broken = False

    notes.note(CLIENT, address="192.0.2.1", last=0, now=501)
    await notes.close()

    assert (await stored(core)).last_access == 501


async def test_memory_for_noted_clients_is_bounded(core: Core) -> None:
    """The ones noted longest ago are forgotten first, and then noted once more than needed."""
    notes = Accesses(core.database)
    for number in range(accesses.MOST_NOTED + 1):
        notes.note(str(number), address="", last=0, now=500)

    assert len(notes._noted) == accesses.MOST_NOTED
    assert "0" not in notes._noted
    await notes.close()
