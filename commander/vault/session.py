"""
`Vault`: the unlocked session that commands use.

Reading is from memory; `refresh` brings it up to date. Every change goes through `commit`: it is
built at the newest state, signed, sent as one transaction, and built again when somebody else was
faster, so that two shells of one user lose nothing.
"""

from __future__ import annotations

import asyncio
import copy
import logging
import secrets
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

import msgspec

from commander.authority.decide import Action, decide
from commander.authority.refusals import Code
from commander.authority.state import State
from commander.clock import Clock
from commander.errors import CommanderError, Conflict, NotFound, Tampered, Unreachable
from commander.ids import DeviceUid, FolderUid, RecordUid, UserUid, new_uid
from commander.ksm.writes import AddFile
from commander.vault import folders
from commander.vault.applications import Applications
from commander.vault.draft import Author, Draft
from commander.vault.enrolment import device_statement
from commander.vault.opening import open_settings
from commander.vault.people import People
from commander.vault.ports import Remote
from commander.vault.replica import OpenFolder, OpenRecord, Replica
from commander.vault.sdk_writes import files_of, fill_gap, records_with_gaps
from commander.vault.sharing import Sharing
from commander.vault.state import Place, View
from commander.vault.store import Store
from commander.vault.sync import (
    Problem,
    join_pages,
    merge_changes,
    merge_log,
    open_history,
    restore,
)
from commander.vault.unlock import Unlocked
from commander.wire import calls
from commander.wire.pam import PamSettings, ResourceSettings
from commander.wire.records import RecordData

_T = TypeVar("_T")
_log = logging.getLogger(__name__)
# A refused change means that another one was made, so only a crowd of writers keeps one waiting.
PATIENCE_S = 30.0
MAX_PAUSE_MS = 20
MAX_PAGES = 1_000
VIEW_S = 5.0
# Another writer was faster: build the same change again on what it made.
_RETRY = frozenset(
    {
        Code.LOG_MOVED, Code.REVISION_CONFLICT, Code.STATEMENT_CHAIN, Code.STATEMENT_DUPLICATE,
        Code.SEAL_REVISION,
    }
)  # fmt: skip


class Vault:
    """
    The unlocked vault of one user on one device. Make it with `open`.

    `applications`, `people` and `sharing` hold the operations on those. `problems` are objects
    the server gave that do not verify: show them, loudly; what was there before stays visible.
    """

    def __init__(
        self,
        login: Unlocked,
        remote: Remote,
        *,
        clock: Clock,
        store: Store | None = None,
        replica: Replica | None = None,
    ) -> None:
        self.login = login
        self.email = login.device.email
        self.user: UserUid = login.device.user
        self.device: DeviceUid = login.device.device
        self.problems: list[Problem] = []
        self._remote = remote
        self._clock = clock
        self._store = store
        self._replica = replica or Replica(self.user, login.identity)
        self._author = Author(
            self.user, self.device, login.identity.sign, login.device.signing_key()
        )
        # One change at a time: two drafts at the same head would only refuse each other. Every
        # call within has a deadline.
        self._lock = asyncio.Lock()
        self._view: View | None = None
        self._synced_at: float | None = None
        self.applications = Applications(self)
        self.people = People(self)
        self.sharing = Sharing(self)

    @classmethod
    async def open(
        cls, login: Unlocked, remote: Remote, *, clock: Clock, store: Store | None = None
    ) -> Vault:
        """Load the local copy and bring it up to date. Raises Unreachable, Tampered, Refused."""
        vault = cls.offline(login, remote, clock=clock, store=store)
        await vault.sync()
        vault.check_identity()
        return vault

    @classmethod
    def offline(
        cls, login: Unlocked, remote: Remote, *, clock: Clock, store: Store | None = None
    ) -> Vault:
        """The local copy as it is, without asking the server."""
        replica = None
        snapshot = store.load() if store else None
        if snapshot is not None:
            try:
                replica = restore(snapshot, login.identity)
            except CommanderError as error:
                _log.warning("the local copy of the vault is dropped: %s", error)
        return cls(login, remote, clock=clock, store=store, replica=replica)

    async def certify_device(self) -> None:
        """Sign this machine's keys into the log, before anything else a new device does."""
        async with self._lock:
            await self._fetch_log()
        certificate = device_statement(self.login.device)
        await self.commit(lambda draft: draft.state(certificate))

    def check_identity(self) -> None:
        """Raise Tampered unless the log knows this user by the keys this login has."""
        user = self.state.users.get(self.user)
        identity = self.login.identity
        keys = (identity.sign.public.raw, identity.box.public.raw)
        if user is None or (user.sign_key, user.box_key, user.email) != (*keys, self.email):
            raise Tampered(
                f"the server's log names other keys for {self.email} than this account has",
                hint="do not use this server; tell an administrator",
            )

    # --- state -----------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """The authority log's state at the head this device has verified."""
        return self._replica.state

    @property
    def view(self) -> View:
        """The tree of what this user may see now."""
        now = self._clock.now()
        view = self._view
        stale = view is None or view.generation != self._replica.generation
        if view is None or stale or abs(now - view.now) > VIEW_S:
            view = self._view = View(self._replica, now=now)
        return view

    @property
    def remote(self) -> Remote:
        """The server, for calls that change nothing here."""
        return self._remote

    @property
    def now(self) -> float:
        """The time that decisions here are made at."""
        return self._clock.now()

    def application_key(self, uid: str) -> bytes:
        """The key of an application. Raises NotFound when this user has none."""
        key = self._replica.keys.get(("application", uid))
        if key is None:
            raise NotFound(f"this user cannot open application {uid}")
        return key

    def first_key_of(self, client: str) -> bytes:
        """The key that an unconfirmed client was first seen with, or b""."""
        return self._replica.devices.keys.get(client, b"")

    def require(self, action: Action, target: str = "") -> None:
        """Raise Refused, with the code, unless this user, on this device, may do something now."""
        decide(self.state, self.device, action, target, now=self._clock.now()).enforce()

    async def sync(self, *, everything: bool = False) -> list[Problem]:
        """
        Fetch and verify what is new; returns (and keeps in `problems`) what does not verify.

        `everything` asks for all objects again; pins stay. Raises Tampered (log-forked) or
        Refused for a bad log, Unreachable.
        """
        async with self._lock:
            if everything:
                self._replica.cursor = 0
            return await self._sync()

    async def refresh(self, *, max_age_s: float = 5.0) -> None:
        """`sync`, unless the last one is younger than `max_age_s`."""
        last = self._synced_at
        if last is None or self._clock.monotonic() - last > max_age_s:
            await self.sync()

    async def _sync(self) -> list[Problem]:
        replica = self._replica
        before = (replica.state.seq, replica.cursor)
        await self._fetch_log()
        # Merged as one, since settings may come pages before the record they belong to.
        answer = join_pages([page async for page in self._pages()])
        problems = merge_changes(replica, await self._without_gaps(answer))
        self.problems = problems
        self._synced_at = self._clock.monotonic()
        for problem in problems:
            _log.warning("the server gave something that does not verify: %s", problem)
        if (replica.state.seq, replica.cursor) != before:
            await self._save()
        return problems

    async def _pages(self) -> AsyncIterator[calls.SyncAnswer]:
        cursor = self._replica.cursor
        for _ in range(MAX_PAGES):
            page = await self._remote.call(calls.SYNC, calls.SyncRequest(cursor))
            yield page
            if not page.more or page.cursor <= cursor:
                return
            cursor = page.cursor

    async def _without_gaps(self, answer: calls.SyncAnswer) -> calls.SyncAnswer:
        """The answer with the revisions that it takes to judge what devices wrote."""
        replica = self._replica
        for pinned in records_with_gaps(answer.records, lambda uid: replica.record_pin(uid)[0]):
            request = calls.HistoryRequest(pinned.record)
            answer = fill_gap(
                answer, pinned, (await self._remote.call(calls.HISTORY, request)).records
            )
        return answer

    async def _fetch_log(self) -> None:
        replica = self._replica
        root = self.login.device.root
        for _ in range(MAX_PAGES):
            seq = replica.state.seq
            answer = await self._remote.call(calls.LOG, calls.LogRequest(seq))
            merge_log(replica, answer, fingerprint=root)
            if replica.state.seq >= answer.head_seq or replica.state.seq == seq:
                return

    async def _save(self) -> None:
        if self._store is None:
            return
        snapshot = self._replica.snapshot()
        try:
            await asyncio.to_thread(self._store.save, snapshot)
        except (CommanderError, OSError) as error:
            # What the server has acknowledged is done; the next command fetches it again.
            _log.warning("the local copy of the vault is not up to date: %s", error)

    # --- changes ---------------------------------------------------------------------------------

    async def commit(self, build: Callable[[Draft], _T]) -> _T:
        """
        Make one change, all or nothing, and return what `build` returned.

        `build` may be called several times, each time with a draft at the newest state: it must
        read what it changes from there, and take new UIDs from outside, so that a change whose
        answer was lost is recognised. Raises what the server answers; Conflict when others
        were faster each time for 30 s.
        """
        async with self._lock:
            give_up_at = self._clock.monotonic() + PATIENCE_S
            while True:
                draft = Draft(self._replica, self._author, now=self._clock.now())
                result = build(draft)
                if draft.is_empty:
                    return result
                try:
                    await self._remote.call(calls.COMMIT, draft.commit())
                except (Conflict, Unreachable) as error:
                    if await self._landed_after(error, draft):
                        return result
                    if self._clock.monotonic() > give_up_at:
                        raise
                    continue
                self._accept(draft)
                await self._save()
                return result

    async def _landed_after(self, error: Conflict | Unreachable, draft: Draft) -> bool:
        """After a failure: sync; True when the change is there, False when to try again."""
        if isinstance(error, Conflict) and error.code not in _RETRY:
            raise error
        before = (self._replica.state.seq, self._replica.cursor)
        # Waits before it reads, never after: a draft is built at once on what was read, or writers
        # that do not wait would always be faster.
        await asyncio.sleep(secrets.randbelow(MAX_PAUSE_MS) / 1000)
        try:
            await self._sync()
        except Unreachable:
            raise error from None
        if draft.is_landed():
            return True
        moved = (self._replica.state.seq, self._replica.cursor) != before
        if isinstance(error, Unreachable) or not moved:
            raise error
        return False

    def _accept(self, draft: Draft) -> None:
        for statement in draft.statements:
            self._replica.append(statement)
        rows = self._changed_rows(draft)
        answer = calls.SyncAnswer(
            cursor=self._replica.cursor,
            more=False,
            grants=tuple(draft.grants),
            folders=tuple(draft.folders),
            records=tuple(draft.records),
            settings=tuple(draft.settings),
            applications=rows,
        )
        for problem in merge_changes(self._replica, answer):
            # Our own change was taken by the server but not by us: a bug, never the user's fault.
            _log.error("a change made here does not verify here: %s", problem)

    def _changed_rows(self, draft: Draft) -> tuple[calls.ApplicationRow, ...]:
        rows = dict(self._replica.application_rows)
        for made in draft.applications:
            keys = rows[made.application].folder_keys if made.application in rows else ()
            rows[made.application] = calls.ApplicationRow(
                made.application, made.data, keys, made.owner_key, made.revision
            )
        for added in draft.folder_keys:
            row = rows[added.application]
            kept = tuple(key for key in row.folder_keys if key.folder != added.folder)
            rows[added.application] = msgspec.structs.replace(row, folder_keys=(*kept, added))
        return tuple(
            rows[uid] for uid in rows if rows[uid] != self._replica.application_rows.get(uid)
        )

    # --- records ---------------------------------------------------------------------------------

    def find_record(self, text: str, *, base: str | None = None) -> OpenRecord:
        """A record by UID, path or title. Raises NotFound, Conflict listing the candidates."""
        return self.view.find_record(text, base=base or "")

    def find_folder(self, text: str, *, base: str | None = None) -> OpenFolder:
        """A folder by UID, path or name. Raises NotFound, Conflict listing the candidates."""
        return self.view.find_folder(text, base=base or "")

    def get_record(self, uid: str) -> OpenRecord:
        """A record by UID. Raises NotFound."""
        record = self.view.records.get(uid)
        if record is None:
            raise NotFound(f"no record {uid}", hint="names and UIDs are shown by ls and search")
        return record

    def settings(self, record: str) -> PamSettings | None:
        """The PAM settings of a record, or None when it has none."""
        version = self._replica.settings_versions.get(record)
        if version is None:
            return None
        return open_settings(self.get_record(record).key, record, version)

    def settings_revision(self, record: str) -> int:
        """The revision of a record's PAM settings; 0 when it has none."""
        seal, _ = self._replica.settings_pin(record)
        return seal.revision if seal else 0

    async def create_record(
        self,
        data: RecordData,
        folder: str | None = None,
        *,
        settings: PamSettings | None = None,
        uid: str = "",
    ) -> OpenRecord:
        """Put a new record into a folder (the personal root by default)."""
        record = RecordUid(uid or new_uid())

        def build(draft: Draft) -> None:
            place = self._place(folder)
            self.require(Action.EDIT, place.domain)
            draft.put_record(record, data, place)
            if settings is not None:
                self._check_settings(place.domain, settings)
                draft.put_settings(record, place.domain, settings)

        await self.commit(build)
        return self.get_record(record)

    def _place(self, folder: str | None) -> Place:
        target = folder or self.view.root
        if target not in self.view.folders:
            raise NotFound(f"no folder {target}")
        return self.view.place_of(target)

    async def update_record(
        self, uid: str, change: Callable[[RecordData], None], *, revision: int = 0
    ) -> bool:
        """
        Change a record's content; `change` edits a copy of the newest one, and may be called again.

        With `revision` only that one is changed: Conflict when it is not the newest any more.
        Returns False when nothing was different.
        """

        def build(draft: Draft) -> bool:
            record = self.get_record(uid)
            if revision and record.revision != revision:
                raise Conflict(
                    f"record {record.data.title!r} is at revision {record.revision}, not {revision}",
                    hint="record-history shows both; nothing was changed",
                )
            data = RecordData(copy.deepcopy(record.data.content))
            change(data)
            if data.content == record.data.content:
                return False
            self.require(Action.EDIT, record.domain)
            draft.put_record(record.uid, data, Place(record.domain, record.inner_folder))
            return True

        return await self.commit(build)

    async def delete_record(self, uid: str) -> None:
        """Remove a record."""

        def build(draft: Draft) -> None:
            record = self.get_record(uid)
            self.require(Action.EDIT, record.domain)
            draft.delete_record(record.uid)

        await self.commit(build)

    async def move_record(self, uid: str, folder: str) -> None:
        """Put a record into another folder; its key is wrapped anew for another domain."""

        def build(draft: Draft) -> None:
            record = self.get_record(uid)
            place = self._place(folder)
            if (record.domain, record.inner_folder) == (place.domain, place.inner):
                return
            self.require(Action.EDIT, record.domain)
            self.require(Action.EDIT, place.domain)
            draft.put_record(record.uid, record.data, place)
            settings = self.settings(uid)
            if settings is not None and place.domain != record.domain:
                # Settings are sealed for the folder their record is in.
                self._check_settings(place.domain, settings)
                draft.put_settings(record.uid, place.domain, settings)

        await self.commit(build)

    async def change_settings(
        self, uid: str, change: Callable[[PamSettings | None], PamSettings]
    ) -> bool:
        """
        Write a record's PAM settings; `change` gets the newest ones, and may be called again.

        Needs the CONFIGURE policy and use-right on linked records. Returns False when nothing
        was different.
        """

        def build(draft: Draft) -> bool:
            record = self.get_record(uid)
            before = self.settings(uid)
            after = change(before)
            if after == before:
                return False
            self._check_settings(record.domain, after)
            draft.put_settings(record.uid, record.domain, after)
            return True

        return await self.commit(build)

    def _check_settings(self, domain: str, settings: PamSettings) -> None:
        self.require(Action.CONFIGURE, domain)
        if isinstance(settings, ResourceSettings):
            for linked in settings.linked_records():
                self.require(Action.VIEW, self.get_record(linked).domain)

    async def history(self, uid: str) -> list[OpenRecord]:
        """
        All revisions the server has of a record that this user's keys open, oldest first.

        Raises Refused for one that its author did not write, or that does not follow the one before.
        """
        self.get_record(uid)
        answer = await self._remote.call(calls.HISTORY, calls.HistoryRequest(uid))
        return open_history(self._replica, uid, answer.records)

    async def signed_files(self, uid: str) -> dict[str, AddFile]:
        """What devices signed of the files they attached to a record, by file. Raises as `history`."""
        self.get_record(uid)
        answer = await self._remote.call(calls.HISTORY, calls.HistoryRequest(uid))
        open_history(self._replica, uid, answer.records)
        return files_of(answer.records)

    # --- folders ---------------------------------------------------------------------------------

    async def create_shared_folder(self, name: str) -> OpenFolder:
        """Make a shared folder at the top of the vault: a domain with a key of its own."""
        uid = FolderUid(new_uid())
        await self.commit(lambda draft: folders.add_domain(draft, uid, name, personal=False))
        return self.view.folders[uid]

    async def create_folder(self, name: str, parent: str | None = None) -> OpenFolder:
        """Make a folder within another one (the personal root by default)."""
        uid = FolderUid(new_uid())

        def build(draft: Draft) -> None:
            place = self._place(parent)
            self.require(Action.EDIT, place.domain)
            draft.put_folder(uid, place.domain, name, place.inner)

        await self.commit(build)
        return self.view.folders[uid]

    async def rename_folder(self, uid: str, name: str) -> None:
        """Give a folder another name."""
        await self.commit(lambda draft: folders.rename(self.view, draft, uid, name, self.require))

    async def move_folder(self, uid: str, parent: str) -> None:
        """Put a folder into another one of the same domain. Raises Conflict otherwise."""
        await self.commit(lambda draft: folders.move(self.view, draft, uid, parent, self.require))

    async def delete_folder(self, uid: str) -> None:
        """Remove a folder with all that is in it; ask the user before."""
        await self.commit(lambda draft: folders.delete(self.view, draft, uid, self.require))
