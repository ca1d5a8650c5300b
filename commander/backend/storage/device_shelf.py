"""
Records as devices get them, kept ready: the same bytes go to every device of an application.

The shelf follows the store's change cursor: what changed since the last look is written anew, all
else is as it was. It holds ciphertext that the store holds too, and is bounded in bytes.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from commander.backend.storage import attachments, changes
from commander.backend.storage.objects import RECORDS, Head
from commander.ksm.payloads import MAX_RECORDS, RenderedRecord
from commander.wire.seals import read_record_seal

MOST_BYTES = 96 * 1024 * 1024
# Beyond this the shelf is cleared rather than followed: a new share renews a whole folder.
MOST_FOLLOWED = 500
_NEWEST = 2**62


@dataclass(frozen=True)
class Shelved:
    """A record ready to be sent; attachments have addresses of their own for every device."""

    rendered: RenderedRecord
    has_files: bool


Records = dict[str, Shelved]


class DeviceShelf:
    """One for the whole server; reads with the connection it is given."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._folders: OrderedDict[str, Records] = OrderedDict()
        self._places: dict[str, str] = {}
        self._bytes = 0
        self._cursor = 0
        self._turn = asyncio.Lock()

    async def folders(
        self, connection: AsyncConnection, wanted: Iterable[str]
    ) -> dict[str, Records]:
        """The living records of these folders, as of the connection's snapshot or newer."""
        cursor = await changes.cursor(connection)
        found = {}
        for folder in wanted:
            known = self._folders.get(folder)
            if known is None or cursor > self._cursor:
                known = await self._fetch(connection, folder, cursor)
            else:
                self._folders.move_to_end(folder)
            found[folder] = known
        return found

    async def _fetch(self, connection: AsyncConnection, folder: str, cursor: int) -> Records:
        async with self._turn:
            known = self._folders.get(folder)
            if cursor < self._cursor:
                # This snapshot is older than what the shelf has seen: good for its reader only.
                return known if known is not None else await _load_folder(connection, folder)
            await self._follow(connection, cursor)
            known = self._folders.get(folder)
            if known is None:
                known = await _load_folder(connection, folder)
                self._put(folder, known)
            return known

    async def _follow(self, connection: AsyncConnection, cursor: int) -> None:
        if cursor == self._cursor:
            return
        heads = await RECORDS.changed_anywhere(
            connection, since=self._cursor, count=MOST_FOLLOWED + 1
        )
        if len(heads) > MOST_FOLLOWED:
            self._clear()
        else:
            here = [head for head in heads if head.folder in self._folders and not head.deleted]
            fresh = await _load(connection, here)
            self._replace({head.uid for head in heads}, here, fresh)
        self._cursor = cursor

    def _replace(self, gone: Collection[str], here: Iterable[Head], fresh: Records) -> None:
        # Readers may still be at the old dictionary of a folder: it is exchanged, not changed.
        touched = {self._places[uid] for uid in gone if uid in self._places}
        touched |= {head.folder for head in here}
        added: dict[str, Records] = {}
        for head in here:
            added.setdefault(head.folder, {})[head.uid] = fresh[head.uid]
        for folder in touched & self._folders.keys():
            kept = {uid: one for uid, one in self._folders[folder].items() if uid not in gone}
            self._drop(folder)
            self._put(folder, kept | added.get(folder, {}))

    def _put(self, folder: str, records: Records) -> None:
        self._folders[folder] = records
        self._places.update(dict.fromkeys(records, folder))
        self._bytes += _size(records)
        while self._bytes > self._most_bytes and self._folders:
            self._drop(next(iter(self._folders)))

    def _drop(self, folder: str) -> None:
        records = self._folders.pop(folder)
        self._bytes -= _size(records)
        for uid in records:
            self._places.pop(uid, None)

    def _clear(self) -> None:
        self._folders.clear()
        self._places.clear()
        self._bytes = 0


def _size(records: Records) -> int:
    return sum(len(one.rendered) for one in records.values())


async def _load_folder(connection: AsyncConnection, folder: str) -> Records:
    heads = await RECORDS.changed(connection, [folder], since=0, until=_NEWEST, count=MAX_RECORDS)
    return await _load(connection, [head for head in heads if not head.deleted])


async def _load(connection: AsyncConnection, heads: list[Head]) -> Records:
    versions = await RECORDS.newest(connection, heads)
    files = await attachments.of_records(connection, list(versions))
    return {
        head.uid: Shelved(
            RenderedRecord.render(
                head.uid,
                record_key=versions[head.uid].record_key,
                data=versions[head.uid].payload,
                revision=head.revision,
                inner_folder=read_record_seal(versions[head.uid].seal).inner_folder,
            ),
            head.uid in files,
        )
        for head in heads
    }
