"""`sync`: what changed for a user since a cursor, a page at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncConnection

from commander.authority.decide import Action, Allow, decide
from commander.authority.refusals import Code
from commander.authority.state import State
from commander.backend.core import Caller, Core
from commander.backend.limits import ANSWER_BYTES
from commander.backend.services.apply_commit import show_folder
from commander.backend.services.draft import Draft
from commander.backend.storage import applications, changes, grants
from commander.backend.storage.applications import StoredApplication
from commander.backend.storage.grants import StoredGrant
from commander.backend.storage.objects import FOLDERS, RECORDS, SETTINGS, Head
from commander.errors import Refused
from commander.wire.calls import PAGE_CHANGES, SyncAnswer, SyncRequest

_Change = StoredGrant | StoredApplication | Head
_APPLICATION_SIZE = 4 * 1024


@dataclass
class _Page:
    """Changes of all kinds in one order, cut where the page is full."""

    grants: list[StoredGrant] = field(default_factory=list)
    folders: list[Head] = field(default_factory=list)
    records: list[Head] = field(default_factory=list)
    settings: list[Head] = field(default_factory=list)
    applications: list[StoredApplication] = field(default_factory=list)

    def cut(self, until: int) -> tuple[int, bool]:
        """Drop what does not fit; returns the cursor after the rest, and whether more is left."""
        parts: list[list[_Change]] = [
            list(self.grants), list(self.folders), list(self.records), list(self.settings),
            list(self.applications),
        ]  # fmt: skip
        ordered = sorted((item for part in parts for item in part), key=lambda item: item.change)
        size = 0
        for index, item in enumerate(ordered):
            size += item.size if not isinstance(item, StoredApplication) else _APPLICATION_SIZE
            # The first always fits, so that a page always leads further.
            if index == PAGE_CHANGES or (index and size > ANSWER_BYTES):
                self._keep_to(ordered[index - 1].change)
                return ordered[index - 1].change, True
        return until, False

    def _keep_to(self, last: int) -> None:
        self.grants = [item for item in self.grants if item.change <= last]
        self.folders = [item for item in self.folders if item.change <= last]
        self.records = [item for item in self.records if item.change <= last]
        self.settings = [item for item in self.settings if item.change <= last]
        self.applications = [item for item in self.applications if item.change <= last]


async def sync(core: Core, caller: Caller, request: SyncRequest) -> SyncAnswer:
    """
    Objects of folders the user may view now, and keys granted to the user.

    A cursor from the future (of a server restored from a backup) begins from the start.
    """
    if request.cursor < 0:
        raise Refused("the cursor is negative", code=Code.REQUEST_MALFORMED)
    decide_alive(core.state, caller)
    await _begin_due_shares(core, caller)
    state, now = core.state, core.now()
    visible = sorted(visible_folders(state, caller.user, now=now))
    async with core.database.reading() as connection:
        until = await changes.cursor(connection)
        since = request.cursor if request.cursor <= until else 0
        page = await _collect(connection, state, caller.user, visible, since, until)
        cursor, more = page.cut(until)
        return await _answer(connection, page, cursor, more=more)


def decide_alive(state: State, caller: Caller) -> None:
    """Raise Refused(device-unknown) for a device that is not certified yet."""
    if state.devices.get(caller.principal) is None:
        raise Refused(
            f"device {caller.principal} is not certified",
            code=Code.DEVICE_UNKNOWN,
            hint="certify it first",
        )


def visible_folders(state: State, user: str, *, now: float) -> set[str]:
    """Domain folders that the user may view."""
    candidates = {str(folder.folder) for folder in state.folders.values() if folder.owner == user}
    candidates |= {str(access.folder) for access in state.folders_of(user)}
    return {
        folder
        for folder in candidates
        if isinstance(decide(state, user, Action.VIEW, folder, now=now), Allow)
    }


async def _begin_due_shares(core: Core, caller: Caller) -> None:
    """Shares that began since they were made: let their folders appear now."""
    async with core.database.reading() as connection:
        due = await grants.due_shares(connection, caller.user, now=core.now())
    if not due:
        return
    async with core.database.transaction() as transaction:
        draft = Draft(transaction.connection, core.state, caller.user, caller.principal, core.now())
        for folder in due:
            await grants.share_begun(draft.connection, folder, caller.user)
            await show_folder(draft, folder, caller.user)


async def _collect(
    connection: AsyncConnection,
    state: State,
    user: str,
    visible: Sequence[str],
    since: int,
    until: int,
) -> _Page:
    count = PAGE_CHANGES + 1
    opened = await grants.objects(connection, user, "application")
    opened |= {app.application for app in state.applications.values() if app.owner == user}
    opened = {uid for uid in opened if _has_application(state, user, uid)}
    seen = opened.union(visible)
    return _Page(
        await grants.changed(connection, user, seen, since=since, until=until, count=count),
        await FOLDERS.changed(connection, visible, since=since, until=until, count=count),
        await RECORDS.changed(connection, visible, since=since, until=until, count=count),
        await SETTINGS.changed(connection, visible, since=since, until=until, count=count),
        await applications.changed(connection, opened, since=since, until=until, count=count),
    )


def _has_application(state: State, user: str, uid: str) -> bool:
    application = state.applications.get(uid)
    if application is None:
        return False
    return application.owner == user or state.accesses.get((uid, user)) is not None


async def _answer(
    connection: AsyncConnection, page: _Page, cursor: int, *, more: bool
) -> SyncAnswer:
    folders = await FOLDERS.newest(connection, page.folders)
    records = await RECORDS.newest(connection, page.records)
    settings = await SETTINGS.newest(connection, page.settings)
    rows = [await applications.row_of(connection, stored) for stored in page.applications]
    return SyncAnswer(
        cursor,
        more,
        tuple(stored.grant() for stored in page.grants),
        tuple(folders[head.uid] for head in page.folders),
        tuple(records[head.uid] for head in page.records),
        tuple(settings[head.uid] for head in page.settings),
        tuple(rows),
    )
