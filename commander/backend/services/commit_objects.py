"""Records, PAM settings and folder names of a commit: right, seal, and the revision before."""

from __future__ import annotations

from commander.authority.decide import Action
from commander.authority.refusals import Code
from commander.backend.limits import WRAPPED_KEY
from commander.backend.services.draft import Draft, need_once, need_size, need_uid
from commander.backend.storage import folder_copies
from commander.backend.storage.objects import FOLDERS, RECORDS, SETTINGS, Head, NewRevision
from commander.errors import Refused
from commander.ksm.folder_names import BLOCK_BYTES, MAX_NAME_BYTES, SEALED_KEY_BYTES
from commander.wire import seals
from commander.wire.calls import FolderCopy
from commander.wire.seals import (
    FIRST_PREVIOUS,
    FolderSeal,
    FolderVersion,
    RecordSeal,
    RecordVersion,
    SettingsSeal,
    SettingsVersion,
)


async def put_folders(draft: Draft, versions: tuple[FolderVersion, ...]) -> None:
    """Check and store folder names. Raises Refused."""
    read = [(seals.read_folder_seal(version.seal), version) for version in versions]
    need_once([seal.folder for seal, _ in read], "a folder")
    heads = await FOLDERS.heads(draft.connection, [seal.folder for seal, _ in read])
    stored = await FOLDERS.newest(draft.connection, list(heads.values()))
    added = []
    for seal, version in read:
        _need_own(version)
        _check_folder_place(draft, seal)
        _check_next(seal.folder, seal.revision, seal.prev_hash, heads.get(seal.folder))
        before = stored.get(seal.folder)
        seals.verify_folder(
            draft.state,
            version,
            pinned=seals.read_folder_seal(before.seal) if before else None,
            pinned_hash=before.seal.digest() if before else FIRST_PREVIOUS,
        )
        added.append(NewRevision(seal.folder, seal.domain, seal.revision, seal.deleted, version))
    await FOLDERS.put(draft.connection, added)


def _check_folder_place(draft: Draft, seal: FolderSeal) -> None:
    need_uid(seal.folder, "the folder")
    draft.need(Action.EDIT, seal.domain)
    draft.check_author(seal.author, seal.time, f"folder {seal.folder}")
    if seal.folder != seal.domain and seal.folder in draft.state.kinds:
        raise Refused(
            f"folder {seal.folder} is a {draft.state.kinds[seal.folder]} already",
            code=Code.STATEMENT_DUPLICATE,
        )


def _need_own(version: RecordVersion | FolderVersion) -> None:
    """A device's write comes from the device, at its own door, and is never handed in by a user."""
    if (
        version.write is not None
        or getattr(version, "origin", None)
        or getattr(version, "placed", b"")
    ):
        raise Refused("a commit holds a device's write", code=Code.REQUEST_MALFORMED)


async def put_folder_copies(draft: Draft, copies: tuple[FolderCopy, ...]) -> None:
    """Check and store folders in the form devices read. Raises Refused."""
    need_once([copy.folder for copy in copies], "a folder's copy")
    heads = await FOLDERS.heads(
        draft.connection, [uid for copy in copies for uid in (copy.folder, copy.parent)]
    )
    for copy in copies:
        draft.need(Action.EDIT, copy.domain)
        is_domain = copy.folder == copy.domain
        wanted = 0 if is_domain else SEALED_KEY_BYTES
        need_size(copy.key, wanted, "a folder copy's key", least=wanted)
        need_size(copy.data, MAX_NAME_BYTES, "a folder copy's name", least=2 * BLOCK_BYTES)
        places = [copy.folder] if not copy.parent else [copy.folder, copy.parent]
        known = all(
            (head := heads.get(uid)) is not None and head.folder == copy.domain and not head.deleted
            for uid in places
        )
        if not known or (is_domain and copy.parent):
            raise Refused(
                f"folder {copy.folder[:22]} is not in folder {copy.domain[:22]}",
                code=Code.OBJECT_UNKNOWN,
            )
        await folder_copies.put(draft.connection, copy)


async def put_records(draft: Draft, versions: tuple[RecordVersion, ...]) -> None:
    """Check and store records. Raises Refused."""
    read = [(seals.read_record_seal(version.seal), version) for version in versions]
    need_once([seal.record for seal, _ in read], "a record")
    heads = await RECORDS.heads(draft.connection, [seal.record for seal, _ in read])
    stored = await RECORDS.newest(draft.connection, list(heads.values()))
    inner = await FOLDERS.heads(draft.connection, [seal.inner_folder for seal, _ in read])
    added = []
    for seal, version in read:
        _need_own(version)
        _check_record_place(draft, seal, heads.get(seal.record), inner)
        _check_next(seal.record, seal.revision, seal.prev_hash, heads.get(seal.record))
        need_size(version.record_key, WRAPPED_KEY, "a record key", least=WRAPPED_KEY)
        before = stored.get(seal.record)
        seals.verify_record(
            draft.state,
            version,
            pinned=seals.read_record_seal(before.seal) if before else None,
            pinned_hash=before.seal.digest() if before else FIRST_PREVIOUS,
        )
        added.append(NewRevision(seal.record, seal.folder, seal.revision, seal.deleted, version))
    await RECORDS.put(draft.connection, added)


def _check_record_place(
    draft: Draft, seal: RecordSeal, head: Head | None, inner: dict[str, Head]
) -> None:
    need_uid(seal.record, "the record")
    draft.need(Action.EDIT, seal.folder)
    if head is not None and head.folder != seal.folder:
        draft.need(Action.EDIT, head.folder)
    draft.check_author(seal.author, seal.time, f"record {seal.record}")
    if seal.inner_folder and not seal.deleted:
        place = inner.get(seal.inner_folder)
        if place is None or place.folder != seal.folder or place.deleted:
            raise Refused(
                f"folder {seal.inner_folder[:22]} is not in folder {seal.folder}",
                code=Code.OBJECT_UNKNOWN,
            )


async def put_settings(draft: Draft, versions: tuple[SettingsVersion, ...]) -> None:
    """Check and store PAM settings, of stored records and of those in the same commit."""
    read = [(seals.read_settings_seal(version.seal), version) for version in versions]
    uids = [seal.record for seal, _ in read]
    need_once(uids, "a record's settings")
    records = await RECORDS.newest(
        draft.connection, list((await RECORDS.heads(draft.connection, uids)).values())
    )
    heads = await SETTINGS.heads(draft.connection, uids)
    stored = await SETTINGS.newest(draft.connection, list(heads.values()))
    added = []
    for seal, version in read:
        record = _record_of(draft, seal, records.get(seal.record))
        _check_next(seal.record, seal.revision, seal.prev_hash, heads.get(seal.record))
        before = stored.get(seal.record)
        seals.verify_settings(
            draft.state,
            version,
            record=record,
            pinned=seals.read_settings_seal(before.seal) if before else None,
            pinned_hash=before.seal.digest() if before else FIRST_PREVIOUS,
        )
        added.append(NewRevision(seal.record, seal.folder, seal.revision, False, version))
    await SETTINGS.put(draft.connection, added)


def _record_of(draft: Draft, seal: SettingsSeal, version: RecordVersion | None) -> RecordSeal:
    draft.need(Action.CONFIGURE, seal.folder)
    draft.check_author(seal.author, seal.time, f"settings of {seal.record[:22]}")
    record = seals.read_record_seal(version.seal) if version else None
    # A record elsewhere answers as one that does not exist.
    if record is None or record.deleted or record.folder != seal.folder:
        raise Refused(f"record {seal.record[:22]} is not known", code=Code.OBJECT_UNKNOWN)
    return record


def _check_next(uid: str, revision: int, prev_hash: bytes, head: Head | None) -> None:
    """Compare-and-set: the revision must be the next, or the first of something new."""
    if head is not None and revision <= head.revision:
        raise Refused(
            f"{uid} is at revision {head.revision} already",
            code=Code.REVISION_CONFLICT,
            hint="sync and try again",
        )
    if head is not None and head.deleted:
        raise Refused(f"{uid} was deleted", code=Code.OBJECT_REVOKED)
    known, digest = (head.revision, head.digest) if head else (0, FIRST_PREVIOUS)
    if revision != known + 1 or prev_hash != digest:
        raise Refused(
            f"revision {revision} of {uid} does not follow revision {known}",
            code=Code.SEAL_REVISION,
            hint="sync and try again",
        )
