"""
What devices ask for again and again, kept ready: clients, applications, records as they are sent.

While nothing was committed since (`Database.generation`), nothing is asked of the store at all.
After a commit the records follow its change cursor: what changed is written anew, all else is as
it was. The shelf holds what the store holds too (ciphertext, public keys) and is bounded.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from commander.backend.storage import applications, attachments, changes, clients
from commander.backend.storage.applications import StoredApplication
from commander.backend.storage.attachments import StoredAttachment
from commander.backend.storage.clients import StoredClient
from commander.backend.storage.database import Database
from commander.backend.storage.objects import RECORDS, Head
from commander.ksm.payloads import MAX_RECORDS, RenderedRecord
from commander.wire.seals import read_record_seal

MOST_BYTES = 96 * 1024 * 1024
MOST_FACTS = 20_000
# Beyond this the shelf is cleared rather than followed: a new share renews a whole folder.
MOST_FOLLOWED = 500
_NEWEST = 2**62
_T = TypeVar("_T")


@dataclass(frozen=True)
class Shelved:
    """A record ready to be sent; attachments have addresses of their own for every device."""

    rendered: RenderedRecord
    has_files: bool


@dataclass(frozen=True)
class Frame:
    """What an application's answers have around their records."""

    stored: StoredApplication | None
    keys: dict[str, bytes]


Records = dict[str, Shelved]


class DeviceShelf:
    """One for the whole server."""

    def __init__(self, database: Database, most_bytes: int = MOST_BYTES) -> None:
        self._database = database
        self._most_bytes = most_bytes
        self._facts: dict[object, object] = {}
        self._facts_generation = 0
        self._folders: OrderedDict[str, Records] = OrderedDict()
        self._places: dict[str, str] = {}
        self._bytes = 0
        self._cursor = 0
        self._generation = -1
        self._turn = asyncio.Lock()

    async def client(self, client_id: str) -> StoredClient | None:
        """The client with this id."""
        # Before the snapshot begins: what a later commit wrote must not pass for newer than it is.
        generation = self._database.generation

        async def load(connection: AsyncConnection) -> StoredClient | None:
            found = await clients.find(connection, client_id)
            if found is not None:
                # What is asked for next, while there is a snapshot at hand.
                key = ("frame", found.application)
                if key not in self._facts:
                    self._keep(key, await _load_frame(connection, found.application), generation)
            return found

        return await self._fact(("client", client_id), load)

    async def frame(self, application: str) -> Frame:
        """An application and its folder keys."""
        return await self._fact(("frame", application), lambda c: _load_frame(c, application))

    async def files(self, records: Collection[str]) -> dict[str, list[StoredAttachment]]:
        """Attachments by record."""
        wanted = frozenset(records)
        if not wanted:
            return {}
        return await self._fact(("files", wanted), lambda c: attachments.of_records(c, wanted))

    async def folders(self, wanted: Iterable[str]) -> dict[str, Records]:
        """The living records of these folders."""
        generation = self._database.generation
        found = {}
        for folder in wanted:
            known = self._folders.get(folder) if self._generation == generation else None
            if known is None:
                known = await self._fetch(folder)
            else:
                self._folders.move_to_end(folder)
            found[folder] = known
        return found

    async def _fact(self, key: object, load: Callable[[AsyncConnection], Awaitable[_T]]) -> _T:
        generation = self._database.generation
        if generation != self._facts_generation or len(self._facts) >= MOST_FACTS:
            self._facts.clear()
            self._facts_generation = generation
        if key in self._facts:
            return self._facts[key]  # type: ignore[return-value]  # stored below under the same key
        async with self._database.reading() as connection:
            value = await load(connection)
        self._keep(key, value, generation)
        return value

    def _keep(self, key: object, value: object, generation: int) -> None:
        # Read while somebody wrote it may be of either side of the commit: good for once.
        if self._database.generation == generation == self._facts_generation:
            self._facts[key] = value

    async def _fetch(self, folder: str) -> Records:
        async with self._turn:
            generation = self._database.generation
            known = self._folders.get(folder)
            if known is not None and self._generation == generation:
                # Somebody else fetched it while this one waited.
                return known
            async with self._database.reading() as connection:
                await self._follow(connection, await changes.cursor(connection))
                known = self._folders.get(folder)
                if known is None:
                    known = await _load_folder(connection, folder)
                    self._put(folder, known)
            self._generation = generation
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
            if self._places.get(uid) == folder:
                del self._places[uid]

    def _clear(self) -> None:
        self._folders.clear()
        self._places.clear()
        self._bytes = 0


async def _load_frame(connection: AsyncConnection, application: str) -> Frame:
    stored = await applications.find(connection, application)
    keys = await applications.keys_of(connection, application)
    return Frame(stored, {key.folder: key.key for key in keys})


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
