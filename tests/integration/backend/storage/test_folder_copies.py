"""Folders in the form SDKs read."""

from __future__ import annotations

import pytest

from commander.backend.core import Core
from commander.backend.storage import folder_copies
from commander.ids import new_uid
from commander.wire.calls import FolderCopy

pytestmark = pytest.mark.integration


async def test_copy_is_replaced_listed_by_domain_and_removed(core: Core) -> None:
    """One copy a folder, the newest; found by the domain it is in."""
    domain, folder, other = new_uid(), new_uid(), new_uid()
    root = FolderCopy(domain, domain, "", b"", b"root")
    newest = FolderCopy(folder, domain, domain, b"key", b"new")
    async with core.database.transaction() as transaction:
        connection = transaction.connection
        await folder_copies.put(connection, root)
        await folder_copies.put(connection, FolderCopy(folder, domain, "", b"key", b"old"))
        await folder_copies.put(connection, newest)
        await folder_copies.put(connection, FolderCopy(other, other, "", b"", b"other"))

    async with core.database.reading() as connection:
        found = await folder_copies.of_domains(connection, {domain})
        assert await folder_copies.find(connection, folder) == newest
        assert await folder_copies.find(connection, new_uid()) is None
    assert sorted(found, key=lambda copy: copy.data) == [newest, root]

    async with core.database.transaction() as transaction:
        await folder_copies.remove(transaction.connection, [folder])
        assert await folder_copies.of_domains(transaction.connection, {domain}) == [root]
