"""
What devices ask for again and again, kept ready: clients, applications, records as they are sent.

While nothing was committed since (`Database.generation`), nothing is asked of the store at all.
After a commit the records follow its change cursor: what changed is written anew, all else is as
it was. The shelf holds what the store holds too (ciphertext, public keys) and is bounded.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from commander.backend.storage import applications, attachments, changes, clients
from commander.backend.storage.applications import StoredApplication
from commander.backend.storage.attachments import StoredAttachment
from commander.backend.storage.clients import StoredClient
from commander.backend.storage.database import Database
from commander.backend.storage.objects import RECORDS, Head
from commander.ksm.payloads import MAX_RECORDS, RenderedRecord
from commander.tasks import spawn
from commander.wire.seals import read_record_seal

MOST_BYTES = 96 * 1024 * 1024
MOST_FACTS = 20_000
# Beyond this the shelf is cleared rather than followed: a new share renews a whole folder.
MOST_FOLLOWED = 500
_NEWEST = 2**62
# What a fact is about: ("client", id), ("frame", application), ("files", records).
_Key = tuple[str, Any]


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


@dataclass(frozen=True)
class _News:
    """
    What changed up to `cursor`; None when it is more than worth following.

    Of the changed ones, `here` are alive in folders that are held, and `fresh` is what to send of them;
    `wanted` are the records of a folder that was asked for and is not held.
    """

    cursor: int
    changed: list[Head] | None
    here: list[Head]
    fresh: Records
    wanted: Records | None


class DeviceShelf:
    """One for the whole server."""

    def __init__(self, database: Database, most_bytes: int = MOST_BYTES) -> None:
        self._database = database
        self._most_bytes = most_bytes
        self._facts: dict[_Key, Any] = {}
        self._facts_generation = 0
        self._asked: dict[_Key, asyncio.Future[Any]] = {}
        self._reader: asyncio.Task[None] | None = None
        self._folders: OrderedDict[str, Records] = OrderedDict()
        self._places: dict[str, str] = {}
        self._bytes = 0
        self._cursor = 0
        self._generation = -1
        self._turn = asyncio.Lock()

    async def client(self, client_id: str) -> StoredClient | None:
        """The client with this id."""
        found: StoredClient | None = await self._fact(("client", client_id))
        return found

    async def frame(self, application: str) -> Frame:
        """An application and its folder keys."""
        found: Frame = await self._fact(("frame", application))
        return found

    async def files(self, records: Collection[str]) -> dict[str, list[StoredAttachment]]:
        """Attachments by record."""
        wanted = frozenset(records)
        if not wanted:
            return {}
        found: dict[str, list[StoredAttachment]] = await self._fact(("files", wanted))
        return found

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

    async def _fact(self, key: _Key) -> Any:
        generation = self._database.generation
        if generation != self._facts_generation or len(self._facts) >= MOST_FACTS:
            self._facts.clear()
            self._facts_generation = generation
        if key in self._facts:
            return self._facts[key]
        asked = self._asked.get(key)
        if asked is None:
            asked = self._asked[key] = asyncio.get_running_loop().create_future()
            if self._reader is None or self._reader.done():
                self._reader = spawn(self._read_facts(), name="device-shelf")
        # Others may wait for the same: who gives up must not take it from them.
        return await asyncio.shield(asked)

    async def _read_facts(self) -> None:
        """
        Read for everybody who waits at once, as often as there is somebody.

        After a commit all clients ask anew: one by one they waited for each other's turns at the store.
        """
        while self._asked:
            asked, self._asked = self._asked, {}
            # Before the snapshot begins: what a later commit wrote must not pass for newer than it is.
            generation = self._database.generation
            try:
                found = await self._database.read(partial(_load_facts, keys=list(asked)))
            except Exception as error:  # noqa: BLE001  it is for those who wait
                _fail(asked.values(), error)
                continue
            except BaseException:
                for waiting in asked.values():
                    waiting.cancel()
                raise
            # Read while somebody wrote it may be of either side of the commit: good for once.
            if self._database.generation == generation == self._facts_generation:
                self._facts.update(found)
            for key, waiting in asked.items():
                if not waiting.done():
                    waiting.set_result(found[key])

    async def _fetch(self, folder: str) -> Records:
        async with self._turn:
            generation = self._database.generation
            known = self._folders.get(folder)
            if known is not None and self._generation == generation:
                # Somebody else fetched it while this one waited.
                return known
            known = await self._take_news(folder)
            while known is None:
                # The news of other folders pushed this one off the shelf.
                known = await self._take_news(folder)
            self._generation = generation
            return known

    async def _take_news(self, folder: str) -> Records | None:
        load = partial(_load_news, since=self._cursor, held=frozenset(self._folders), wanted=folder)
        news = await self._database.read(load)
        if news.changed is None:
            self._clear()
        else:
            self._replace({head.uid for head in news.changed}, news.here, news.fresh)
        self._cursor = news.cursor
        if news.wanted is None:
            return self._folders.get(folder)
        self._put(folder, news.wanted)
        return news.wanted

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


def _fail(waiting: Iterable[asyncio.Future[Any]], error: Exception) -> None:
    for one in waiting:
        if not one.done():
            one.set_exception(error)
            # Whoever waited may have given up: then nobody looks at it.
            one.exception()


async def _load_facts(connection: AsyncConnection, keys: Collection[_Key]) -> dict[_Key, Any]:
    """What is behind these keys, and the applications of the clients: they are asked for next."""
    found: dict[_Key, Any] = {}
    for key in keys:
        if key[0] == "files":
            found[key] = await attachments.of_records(connection, key[1])
    names = {key[1] for key in keys if key[0] == "client"}
    known = await clients.find_all(connection, names)
    found |= {("client", name): known.get(name) for name in names}
    frames = {key[1] for key in keys if key[0] == "frame"}
    frames |= {client.application for client in known.values()}
    rows = await applications.find_all(connection, frames)
    folder_keys = await applications.keys_of_all(connection, frames)
    for name in frames:
        keys_of = {key.folder: key.key for key in folder_keys.get(name, [])}
        found["frame", name] = Frame(rows.get(name), keys_of)
    return found


async def _load_news(
    connection: AsyncConnection, *, since: int, held: frozenset[str], wanted: str
) -> _News:
    cursor = await changes.cursor(connection)
    changed: list[Head] | None = []
    if cursor != since:
        changed = await RECORDS.changed_anywhere(connection, since=since, count=MOST_FOLLOWED + 1)
        if len(changed) > MOST_FOLLOWED:
            changed = None
    here = [head for head in changed or () if head.folder in held and not head.deleted]
    fresh = await _load(connection, here)
    is_held = wanted in held and changed is not None
    return _News(
        cursor, changed, here, fresh, None if is_held else await _load_folder(connection, wanted)
    )


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
