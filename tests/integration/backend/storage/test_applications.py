from __future__ import annotations

import pytest

from commander.backend.core import Core
from commander.backend.storage import applications
from commander.ids import new_uid
from commander.wire.calls import ApplicationFolderKey, NewApplication

pytestmark = pytest.mark.integration


async def test_key_of_a_folder_makes_its_application_new(core: Core) -> None:
    """So that the owner's other devices hear of it."""
    uid, other, folder = new_uid(), new_uid(), new_uid()
    async with core.database.transaction() as transaction:
        connection = transaction.connection
        await applications.put(connection, NewApplication(uid, 1, b"a"))
        await applications.put(connection, NewApplication(other, 1, b"b"))
        await applications.put_key(connection, ApplicationFolderKey(uid, folder, 2, b"2"))
        await applications.put_key(connection, ApplicationFolderKey(uid, folder, 1, b"1"))
        await applications.put_key(connection, ApplicationFolderKey(uid, folder, 1, b"one"))

    async with core.database.reading() as connection:
        found = await applications.changed(
            connection, {uid, other, new_uid()}, since=2, until=99, count=9
        )
        row = await applications.row_of(connection, found[0])
        missing = await applications.find(connection, new_uid())
    assert [stored.application for stored in found] == [uid]
    assert [(key.epoch, key.key) for key in row.folder_keys] == [(1, b"one"), (2, b"2")]
    assert missing is None
