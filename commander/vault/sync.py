"""
Merging what a server says into the replica: verify first, then open, then replace. Pure.

A bad object never takes the place of a good one: it becomes a `Problem`, and what was there stays
visible. A bad log stops everything, since every other check is judged by it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from commander.authority.decide import Action, Refuse, decide
from commander.authority.log import check_root
from commander.authority.refusals import Code
from commander.crypto import aead
from commander.errors import Refused, SealBroken, Tampered
from commander.ids import ApplicationUid, FolderUid, UserUid
from commander.vault.accounts import Identity
from commander.vault.opening import (
    open_folder_name,
    open_payload,
    open_record_key,
    open_settings,
)
from commander.vault.replica import OpenApplication, OpenFolder, OpenRecord, Replica, Snapshot
from commander.vault.sdk_writes import SeenDevices, ancestors_of, check_owner
from commander.wire.calls import ApplicationRow, LogAnswer, SyncAnswer
from commander.wire.device_writes import DeviceWrite
from commander.wire.pam import ResourceSettings
from commander.wire.seals import (
    FIRST_PREVIOUS,
    FolderSeal,
    FolderVersion,
    GrantSeal,
    KeyGrant,
    RecordSeal,
    RecordVersion,
    Seal,
    SettingsSeal,
    SettingsVersion,
    grant_context,
    read_folder_seal,
    read_grant_seal,
    read_record_seal,
    read_settings_seal,
    verify_folder,
    verify_grant,
    verify_record,
    verify_settings,
)

MAX_NUMBER = 2**53
# The end of the year 9999, the last that a calendar here can write.
MAX_TIME = 253_402_300_800


@dataclass(frozen=True)
class Problem:
    """Something the server gave that does not verify; the older version stays in place."""

    kind: str
    error: Refused

    def __str__(self) -> str:
        return f"{self.kind}: {self.error.message} ({self.error.code})"


def merge_log(replica: Replica, answer: LogAnswer, *, fingerprint: bytes) -> None:
    """
    Append the log's new statements.

    Raises Tampered (log-forked) for a log that is shorter than the one seen, differs from it or
    begins with another root, Refused with the code of a statement that does not verify.
    """
    state = replica.state
    for statement in answer.statements:
        # The canonical encoder knows no negative numbers; `apply` checks the rest.
        if statement.seq < 0 or statement.time < 0:
            raise Refused("a statement is malformed", code=Code.STATEMENT_MALFORMED)
    if answer.head_seq < state.seq or (
        answer.head_seq == state.seq >= 0 and answer.head_hash != state.head
    ):
        raise _forked(state.seq)
    for statement in answer.statements:
        if statement.seq <= state.seq:
            if statement.digest() != state.digests[statement.seq]:
                raise _forked(statement.seq)
            continue
        if statement.seq == state.seq + 1 and statement.prev_hash != state.head:
            raise _forked(state.seq)
        replica.append(statement)
        if state.seq == 0:
            check_root(state, fingerprint)
    if state.seq == answer.head_seq and state.head != answer.head_hash:
        raise _forked(state.seq)


def _forked(seq: int) -> Tampered:
    return Tampered(
        f"the authority log was rolled back or forked: it differs at or before position {seq}",
        hint="do not use this server; tell an administrator",
        code=Code.LOG_FORKED,
    )


def merge_changes(replica: Replica, answer: SyncAnswer) -> list[Problem]:
    """
    Merge grants, folders, records, settings and applications, in this order.

    The cursor moves on only when all of it was good, so that a withheld or broken object is asked
    for again, and reported again.
    """
    problems: list[Problem] = []
    replica.parents = {folder.uid: folder.parent for folder in replica.folders.values()}
    steps: tuple[tuple[str, Iterable[object], Callable[..., None]], ...] = (
        ("key grant", answer.grants, accept_grant),
        ("folder", answer.folders, accept_folder),
        ("record", answer.records, accept_record),
        ("PAM settings", answer.settings, accept_settings),
        ("application", answer.applications, accept_application),
    )
    for kind, items, accept in steps:
        for item in items:
            try:
                accept(replica, item)
            except Refused as error:
                problems.append(Problem(kind, error))
    if not problems:
        # Also backwards: a server restored from a backup counts anew, and pins do the guarding.
        replica.cursor = answer.cursor
    replica.generation += 1
    return problems


def join_pages(pages: Sequence[SyncAnswer]) -> SyncAnswer:
    """All pages of one sync as one answer; of an object that is there twice the last counts."""
    return SyncAnswer(
        cursor=pages[-1].cursor,
        more=pages[-1].more,
        grants=tuple(item for page in pages for item in page.grants),
        folders=tuple(item for page in pages for item in page.folders),
        records=tuple(item for page in pages for item in page.records),
        settings=tuple(item for page in pages for item in page.settings),
        applications=tuple(item for page in pages for item in page.applications),
    )


def _check_numbers(seal: Seal) -> None:
    """Refuse numbers that no honest author writes and that later steps cannot work with."""
    number = seal.epoch if isinstance(seal, GrantSeal) else seal.revision
    if not 0 < number < MAX_NUMBER or not 0 <= seal.time < MAX_TIME or seal.log_seq < 0:
        raise Refused("a seal holds numbers out of range", code=Code.SEAL_BROKEN)


def accept_grant(replica: Replica, grant: KeyGrant) -> None:
    """Take a key that was granted to this user. Raises Refused."""
    _check_numbers(read_grant_seal(grant.seal))
    seal = verify_grant(replica.state, grant)
    if seal.recipient != replica.user:
        return
    key = _open_grant(replica.identity, grant)
    place = (seal.kind, seal.object)
    known = replica.keys.get(place)
    if known is not None and known != key and seal.epoch <= replica.epochs[place]:
        raise Refused(
            f"another key stands in for the {seal.kind} key of {seal.object}",
            code=Code.SEAL_REVISION,
        )
    if known is None or seal.epoch >= replica.epochs[place]:
        replica.keys[place] = key
        replica.epochs[place] = seal.epoch
        replica.grants[place] = grant


def _open_grant(identity: Identity, grant: KeyGrant) -> bytes:
    seal = read_grant_seal(grant.seal)
    try:
        key = identity.box.open(grant.box, "key-grant", *grant_context(seal))
    except SealBroken:
        key = b""
    if len(key) != aead.KEY_BYTES:
        raise Refused(f"the granted key of {seal.object} does not open", code=Code.SEAL_BROKEN)
    return key


def accept_folder(replica: Replica, version: FolderVersion) -> None:
    """Take a folder's name and place. Raises Refused."""
    seal = read_folder_seal(version.seal)
    _check_numbers(seal)
    pinned, digest = replica.folder_pin(seal.folder)
    verify_folder(
        replica.state,
        version,
        pinned=pinned,
        pinned_hash=digest,
        device_keys=replica.devices.keys,
        ancestors=_ancestors(replica, seal.folder, pinned.domain) if pinned else None,
    )
    opened = None if seal.deleted else _open_folder(replica, version, seal)
    if version.write is not None:
        name = f"folder/{seal.folder}"
        replica.devices.accept(replica.state, name, seal.revision, version.write)
    replica.pins[f"folder/{seal.folder}"] = version.seal
    if opened is None:
        replica.folder_versions.pop(seal.folder, None)
        replica.folders.pop(seal.folder, None)
        return
    replica.folder_versions[seal.folder] = version
    replica.folders[seal.folder] = opened


def _open_folder(replica: Replica, version: FolderVersion, seal: FolderSeal) -> OpenFolder:
    key = _need_key(replica, seal.domain)
    name, parent = open_folder_name(key, version, seal)
    return OpenFolder(seal.folder, seal.domain, name, parent, seal.revision)


def _need_key(replica: Replica, domain: str) -> bytes:
    key = replica.folder_key(domain)
    if key is None:
        raise Refused(f"the server withholds the key of folder {domain}", code=Code.SEAL_BROKEN)
    return key


def accept_record(replica: Replica, version: RecordVersion) -> None:
    """Take a record's revision. Raises Refused."""
    seal = read_record_seal(version.seal)
    _check_numbers(seal)
    pinned, digest = replica.record_pin(seal.record)
    inner = pinned.inner_folder if pinned else ""
    verify_record(
        replica.state,
        version,
        pinned=pinned,
        pinned_hash=digest,
        device_keys=replica.devices.keys,
        ancestors=_ancestors(replica, inner, pinned.folder) if pinned else None,
    )
    opened = None if seal.deleted else open_record(_need_key(replica, seal.folder), version, seal)
    if version.write is not None:
        _check_device_write(replica, version.write, seal, opened)
    replica.pins[f"record/{seal.record}"] = version.seal
    if opened is None:
        replica.record_versions.pop(seal.record, None)
        replica.settings_versions.pop(seal.record, None)
        replica.records.pop(seal.record, None)
        return
    replica.record_versions[seal.record] = version
    replica.records[seal.record] = opened


def _ancestors(replica: Replica, folder: str, domain: str) -> frozenset[str]:
    return ancestors_of(folder, domain, replica.parents)


def _check_device_write(
    replica: Replica, write: DeviceWrite, seal: RecordSeal, opened: OpenRecord | None
) -> None:
    if opened is not None:
        key = replica.keys.get(("application", write.application))
        check_owner(write, key, opened.key)
    replica.devices.accept(replica.state, f"record/{seal.record}", seal.revision, write)


def open_record(folder_key: bytes, version: RecordVersion, seal: RecordSeal) -> OpenRecord:
    """Decrypt a verified revision. Raises Refused(record-tampered)."""
    key = open_record_key(folder_key, version, seal)
    data = open_payload(key, version, seal)
    return OpenRecord(
        seal.record, seal.folder, seal.inner_folder, seal.revision, seal.author, seal.time, data,
        key,
    )  # fmt: skip


def open_history(
    replica: Replica, record: str, versions: Iterable[RecordVersion]
) -> list[OpenRecord]:
    """
    Decrypt the revisions of a record that this user's keys open, oldest first.

    Each has to be what its author signed, to follow the one before, and to be the one that was
    seen where one was. Raises Refused.
    """
    found = []
    previous, digest = None, FIRST_PREVIOUS
    pinned, pinned_digest = replica.record_pin(record)
    devices = replica.devices.copy()
    for version in versions:
        seal = verify_record(
            replica.state,
            version,
            pinned=previous,
            pinned_hash=digest,
            device_keys=devices.keys,
        )
        previous, digest = seal, version.seal.digest()
        if version.write is not None:
            devices.accept(replica.state, f"record/{seal.record}", seal.revision, version.write)
        if seal.record != record:
            raise Refused(f"record {seal.record} stands in for {record}", code=Code.SEAL_BROKEN)
        if pinned is not None and seal.revision == pinned.revision and digest != pinned_digest:
            raise Refused(
                f"revision {seal.revision} differs from the one seen before",
                code=Code.SEAL_REVISION,
            )
        key = replica.folder_key(seal.folder)
        if key is not None and not seal.deleted:
            found.append(open_record(key, version, seal))
    return found


def accept_settings(replica: Replica, version: SettingsVersion) -> None:
    """Take a record's PAM settings. Raises Refused."""
    _check_numbers(read_settings_seal(version.seal))
    from_seal = _settings_record(replica, version)
    if from_seal is None:
        return
    pinned, digest = replica.settings_pin(from_seal.record)
    seal = verify_settings(
        replica.state, version, record=from_seal, pinned=pinned, pinned_hash=digest
    )
    settings = open_settings(replica.records[seal.record].key, seal.record, version)
    if isinstance(settings, ResourceSettings):
        for uid in settings.linked_records():
            _check_link(replica, seal, uid)
    replica.pins[f"settings/{seal.record}"] = version.seal
    replica.settings_versions[seal.record] = version


def _settings_record(replica: Replica, version: SettingsVersion) -> RecordSeal | None:
    uid = read_settings_seal(version.seal).record
    record = replica.record_versions.get(uid)
    return read_record_seal(record.seal) if record else None


def _check_link(replica: Replica, seal: SettingsSeal, linked: str) -> None:
    """An author may only link a credential that the author may use."""
    target = replica.records.get(linked)
    if target is None:
        return
    decision = decide(
        replica.state, seal.author, Action.VIEW, target.domain, now=seal.time, at=seal.log_seq
    )
    if isinstance(decision, Refuse):
        raise Refused(
            f"the PAM settings of {seal.record} link {linked}, which their author may not use",
            code=Code.LINK_NOT_ALLOWED,
        )


def accept_application(replica: Replica, row: ApplicationRow) -> None:
    """Take an application's display data and list of folders. Raises Refused."""
    key = replica.keys.get(("application", row.application))
    if replica.state.applications.get(row.application) is None or key is None:
        return
    try:
        raw = json.loads(aead.open_sealed(key, row.data))
        title = raw["title"]
        for folder in row.folder_keys:
            aead.open_sealed(key, folder.key)
    except (SealBroken, ValueError, KeyError, TypeError):
        title = None
    if not isinstance(title, str):
        raise Refused(
            f"the data of application {row.application} does not open", code=Code.SEAL_BROKEN
        )
    folders = tuple(FolderUid(item.folder) for item in row.folder_keys)
    replica.application_rows[row.application] = row
    replica.applications[row.application] = OpenApplication(
        ApplicationUid(row.application), title, folders, key
    )


def restore(snapshot: Snapshot, identity: Identity) -> Replica:
    """
    Build the replica from our own store. The log is replayed; versions were verified before they
    were stored, so they are only opened. Raises Refused or Tampered for a store that is damaged.
    """
    replica = Replica(UserUid(snapshot.user), identity)
    for statement in snapshot.statements:
        replica.append(statement)
    replica.cursor = snapshot.cursor
    replica.pins = dict(snapshot.pins)
    replica.devices = SeenDevices.restore(snapshot.device_keys, snapshot.device_requests)
    for grant in snapshot.grants:
        seal = read_grant_seal(grant.seal)
        place = (seal.kind, seal.object)
        replica.keys[place] = _open_grant(identity, grant)
        replica.epochs[place] = seal.epoch
        replica.grants[place] = grant
    for folder in snapshot.folders:
        folder_seal = read_folder_seal(folder.seal)
        replica.folder_versions[folder_seal.folder] = folder
        replica.folders[folder_seal.folder] = _open_folder(replica, folder, folder_seal)
    for record in snapshot.records:
        record_seal = read_record_seal(record.seal)
        replica.record_versions[record_seal.record] = record
        key = _need_key(replica, record_seal.folder)
        replica.records[record_seal.record] = open_record(key, record, record_seal)
    for settings in snapshot.settings:
        found = _settings_record(replica, settings)
        if found is not None:
            replica.settings_versions[found.record] = settings
    for row in snapshot.applications:
        accept_application(replica, row)
    return replica
