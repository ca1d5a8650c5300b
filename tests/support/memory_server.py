"""
A server in memory for tests of the vault: it checks and stores commits by the shared rules.

It fits `vault.ports.Remote` for each device by `remote_for`. Tests make it evil by replacing what
it stores or by `before_answer`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from commander.audit.chain import Entry
from commander.audit.events import subject_of
from commander.authority.decide import Action, Allow, decide
from commander.authority.log import apply, replay
from commander.authority.refusals import Code
from commander.authority.state import State
from commander.authority.statements import Access, Statement
from commander.clock import Clock
from commander.codec import Message, decode, encode
from commander.crypto.signing import SigningKey
from commander.errors import Conflict, InvalidInput, NotFound, Refused
from commander.wire import calls, seals

_Q = TypeVar("_Q", bound=Message)
_A = TypeVar("_A", bound=Message)


@dataclass
class Stored:
    """Everything a server keeps; deep-copied before a commit so that it is all or nothing."""

    statements: list[Statement] = field(default_factory=list)
    accounts: dict[str, calls.NewAccount] = field(default_factory=dict)
    grants: list[tuple[int, seals.KeyGrant]] = field(default_factory=list)
    folders: dict[str, list[tuple[int, seals.FolderVersion]]] = field(default_factory=dict)
    records: dict[str, list[tuple[int, seals.RecordVersion]]] = field(default_factory=dict)
    settings: dict[str, list[tuple[int, seals.SettingsVersion]]] = field(default_factory=dict)
    applications: dict[str, tuple[int, calls.ApplicationRow]] = field(default_factory=dict)
    clients: dict[str, calls.NewClient] = field(default_factory=dict)
    attachments: dict[str, calls.NewAttachment] = field(default_factory=dict)
    cursor: int = 0


class MemoryServer:
    """
    One server; `calls_made` counts calls by path.

    `online` are connections of gateways by UID, `bound` ids of clients whose token was used,
    `audit` the stored events, `audit_key` the server's own key for them.
    """

    def __init__(self, clock: Clock) -> None:
        self.stored = Stored()
        self.clock = clock
        self.calls_made: list[str] = []
        self.online: dict[str, calls.GatewayRow] = {}
        self.bound: set[str] = set()
        self.bound_keys: dict[str, bytes] = {}
        self.audit: list[bytes] = []
        self.bytes: dict[str, bytes] = {}
        self.audit_server = "AAAAAAAAAAAAAAAAAAAAAA"
        self.audit_key = SigningKey(bytes(32))
        self.before_answer: Callable[[str, Message], Message] = lambda path, answer: answer
        self.before_commit: Callable[[], None] = lambda: None
        self.on_commit: Callable[[calls.Commit], None] = lambda commit: None

    def state(self) -> State:
        """The state of the stored log."""
        return replay(self.stored.statements)

    def remote_for(self, user: str) -> MemoryRemote:
        """A connection of one user."""
        return MemoryRemote(self, user)

    def take(self, commit: calls.Commit) -> calls.CommitAnswer:
        """Store a commit, or refuse it whole."""
        self.before_commit()
        self.on_commit(commit)
        before = copy.deepcopy(self.stored)
        try:
            return self._take(commit)
        except BaseException:
            self.stored = before
            raise

    def _take(self, commit: calls.Commit) -> calls.CommitAnswer:
        stored = self.stored
        state = self.state()
        for statement in commit.statements:
            if statement.prev_hash != state.head:
                raise Conflict("the log moved on", code=Code.LOG_MOVED)
            apply(state, statement)
            stored.statements.append(statement)
        stored.cursor += 1
        for grant in commit.grants:
            seals.verify_grant(state, grant)
            stored.grants.append((stored.cursor, grant))
        for folder in commit.folders:
            self._put(stored.folders, seals.read_folder_seal(folder.seal), folder)
        for record in commit.records:
            self._put(stored.records, seals.read_record_seal(record.seal), record)
        for settings in commit.settings:
            self._put(stored.settings, seals.read_settings_seal(settings.seal), settings)
        self._take_applications(commit)
        for new in commit.attachments:
            stored.attachments[new.file] = new
        for old in commit.removed_attachments:
            stored.attachments.pop(old.file, None)
        self._show_to_new_members(commit)
        return calls.CommitAnswer(state.seq, stored.cursor)

    def _show_to_new_members(self, commit: calls.Commit) -> None:
        """What a new share opens counts as changed, since its members' cursors are past it."""
        shared = {
            body.folder
            for statement in commit.statements
            if isinstance(body := statement.parse_body(), Access)
        }
        tables: tuple[tuple[dict[str, Any], Callable[[Any], Any], str], ...] = (
            (self.stored.folders, seals.read_folder_seal, "domain"),
            (self.stored.records, seals.read_record_seal, "folder"),
            (self.stored.settings, seals.read_settings_seal, "folder"),
        )
        for table, read, name in tables:
            for kept in table.values():
                version = kept[-1][1]
                if getattr(read(version.seal), name) in shared:
                    kept[-1] = (self.stored.cursor, version)

    def _put(self, table: dict[str, Any], seal: Any, version: Any) -> None:
        uid = seal.folder if isinstance(seal, seals.FolderSeal) else seal.record
        kept = table.setdefault(uid, [])
        last = kept[-1][1].seal.digest() if kept else seals.FIRST_PREVIOUS
        if seal.prev_hash != last or seal.revision != len(kept) + 1:
            raise Conflict(f"{uid} changed meanwhile", code=Code.REVISION_CONFLICT)
        kept.append((self.stored.cursor, version))

    def _take_applications(self, commit: calls.Commit) -> None:
        stored = self.stored
        for made in commit.applications:
            before = stored.applications.get(made.application)
            if made.revision != (before[1].revision if before else 0) + 1:
                raise Conflict("the application changed meanwhile", code=Code.REVISION_CONFLICT)
            row = calls.ApplicationRow(
                made.application,
                made.data,
                before[1].folder_keys if before else (),
                made.owner_key,
                made.revision,
            )
            stored.applications[made.application] = (stored.cursor, row)
        for added in commit.folder_keys:
            row = stored.applications[added.application][1]
            row = msgspec.structs.replace(row, folder_keys=(*row.folder_keys, added))
            stored.applications[added.application] = (stored.cursor, row)
        for client in commit.clients:
            stored.clients[client.client_id] = client
        for client_id in commit.removed_clients:
            if stored.clients.pop(client_id, None) is None:
                raise NotFound(f"no client {client_id}")

    def changes(self, user: str, cursor: int) -> calls.SyncAnswer:
        """What a user may see of what came after a cursor."""
        state, stored, now = self.state(), self.stored, self.clock.now()

        def seen(folder: str) -> bool:
            return isinstance(decide(state, user, Action.VIEW, folder, now=now), Allow)

        def newest(table: dict[str, Any], read: Callable[[Any], Any], name: str) -> tuple[Any, ...]:
            versions = [kept[-1][1] for kept in table.values() if kept[-1][0] > cursor]
            return tuple(v for v in versions if seen(getattr(read(v.seal), name)))

        return calls.SyncAnswer(
            cursor=stored.cursor,
            more=False,
            grants=tuple(
                grant
                for at, grant in stored.grants
                if at > cursor and seals.read_grant_seal(grant.seal).recipient == user
            ),
            folders=newest(stored.folders, seals.read_folder_seal, "domain"),
            records=newest(stored.records, seals.read_record_seal, "folder"),
            settings=newest(stored.settings, seals.read_settings_seal, "folder"),
            applications=tuple(
                row
                for at, row in stored.applications.values()
                if at > cursor
                and (app := state.applications.get(row.application)) is not None
                and (app.owner == user or state.accesses.get((app.application, user)))
            ),
        )

    def attachments(self, record: str) -> tuple[calls.AttachmentRow, ...]:
        """Attachments of a record; `bytes` has those that have come."""
        return tuple(
            calls.AttachmentRow(
                new.file, new.link_key, new.data, new.size, new.file in self.bytes,
                f"/api/rest/sm/v1/files/{new.file}",
            )
            for new in self.stored.attachments.values()
            if new.record == record
        )  # fmt: skip

    def gateways(self) -> tuple[calls.GatewayRow, ...]:
        """All certified gateways."""
        return tuple(
            self.online.get(gateway.gateway, calls.GatewayRow(gateway.gateway, False, "", "", 0))
            for gateway in self.state().gateways.values()
        )

    def read_audit(self, request: calls.AuditRead) -> calls.AuditAnswer:
        """A page of events as the server's filters give it."""
        found = [
            (position, raw)
            for position, raw in enumerate(self.audit, start=1)
            if position > request.after and _fits(Entry.parse(raw), request)
        ]
        page = found[: request.limit or calls.PAGE_EVENTS]
        return calls.AuditAnswer(
            tuple(page), len(found) > len(page), self.audit_server, self.audit_key.public.raw
        )


def _fits(entry: Entry, request: calls.AuditRead) -> bool:
    try:
        user, record = subject_of(entry.event())
    except InvalidInput:
        user, record = "", ""  # a kind of a newer version
    pairs = (
        (request.producer, entry.producer), (request.kind, entry.kind), (request.user, user),
        (request.record, record),
    )  # fmt: skip
    since, until = request.since * 1000, request.until * 1000
    is_then = entry.time_ms >= since and (not until or entry.time_ms < until)
    return is_then and all(wanted in ("", value) for wanted, value in pairs)


class MemoryRemote:
    """Fits `vault.ports.Remote`; every message goes through its bytes."""

    def __init__(self, server: MemoryServer, user: str) -> None:
        self._server = server
        self._user = user

    async def call(self, call: calls.Call[_Q, _A], request: _Q) -> _A:
        """Answer as a server would."""
        self._server.calls_made.append(call.path)
        parsed = decode(call.request, encode(request))
        answer = self._server.before_answer(call.path, self._answer(call.path, parsed))
        return decode(call.answer, encode(answer))

    def _answer(self, path: str, request: Message) -> Message:
        server = self._server
        if isinstance(request, calls.Commit):
            return server.take(request)
        if isinstance(request, calls.LogRequest):
            state = server.state()
            after = tuple(server.stored.statements[request.since + 1 :])
            return calls.LogAnswer(after, state.seq, state.head)
        if isinstance(request, calls.SyncRequest):
            return server.changes(self._user, request.cursor)
        if isinstance(request, calls.HistoryRequest):
            kept = server.stored.records.get(request.record, [])
            return calls.HistoryAnswer(tuple(version for _, version in kept))
        if isinstance(request, calls.AttachmentsRequest):
            return calls.AttachmentsAnswer(server.attachments(request.record))
        if isinstance(request, calls.ClientsRequest):
            return calls.ClientsAnswer(
                tuple(
                    _row(client, client.client_id in server.bound, server.bound_keys)
                    for client in server.stored.clients.values()
                    if client.application == request.application
                )
            )
        if path == calls.GATEWAYS.path:
            return calls.GatewaysAnswer(server.gateways())
        if isinstance(request, calls.AuditRead):
            return server.read_audit(request)
        raise Refused(f"the memory server does not know {path}")


def _row(client: calls.NewClient, used: bool, keys: dict[str, bytes]) -> calls.ClientRow:
    return calls.ClientRow(
        client.client_id, client.application, client.kind, client.voucher, client.name,
        used or bool(client.public_key), 0, client.token_expires, client.access_expires, 0, 0,
        client.ip_lock, "", client.public_key or keys.get(client.client_id, b""),
    )  # fmt: skip
