"""
Checking and storing a commit: the part that `commit`, `setup` and `account/accept` share.

The order is statements, grants, folders, records, settings, applications, their keys, clients,
invitations, folder copies. Each part is judged by the state after the commit's own statements, now, by
`decide`; then by its seal. The first refusal ends it all.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from commander.authority.refusals import Code
from commander.authority.state import State
from commander.authority.statements import Access, Kind, Statement
from commander.backend.core import Core
from commander.backend.ledger import extend
from commander.backend.limits import PARTS, STATEMENTS
from commander.backend.services import (
    commit_access,
    commit_applications,
    commit_attachments,
    commit_objects,
)
from commander.backend.services.draft import Draft
from commander.backend.storage import changes, grants, statements
from commander.backend.storage.database import Transaction
from commander.backend.storage.objects import FOLDERS, RECORDS, SETTINGS
from commander.errors import Refused
from commander.wire.calls import Commit, CommitAnswer


@dataclass(frozen=True)
class Author:
    """Whose device sends a commit, and the key that the device was seen to have."""

    user: str
    device: str
    device_key: bytes


def check_counts(commit: Commit) -> None:
    """Raise Refused(too-large) for more parts than one transaction takes."""
    counts = {name: len(getattr(commit, name)) for name in commit.__struct_fields__}
    if counts["statements"] > STATEMENTS or max(counts.values()) > PARTS:
        raise Refused(
            f"a commit has at most {STATEMENTS} statements and {PARTS} of each other part",
            code=Code.TOO_LARGE,
            hint="split it",
        )


async def apply_commit(
    core: Core,
    transaction: Transaction,
    commit: Commit,
    *,
    author: Author,
    signers: Collection[str],
) -> CommitAnswer:
    """
    Check and store a commit of a user's device; the new state is published after the commit.

    Call it inside the transaction, so that the state it extends is the newest. Raises Refused.
    """
    now = core.now()
    state = extend(core.state, commit.statements, signers=signers, now=now)
    _check_certified(core.state, state, author)
    draft = Draft(transaction.connection, state, author.user, author.device, now)
    await statements.append(transaction.connection, commit.statements)
    await commit_access.put_grants(draft, commit.grants)
    await commit_objects.put_folders(draft, commit.folders)
    await commit_objects.put_records(draft, commit.records)
    await commit_objects.put_settings(draft, commit.settings)
    await commit_applications.put_applications(draft, commit.applications)
    await commit_applications.put_keys(draft, commit.folder_keys)
    await commit_applications.remove_clients(draft, commit.removed_clients)
    await commit_applications.add_clients(draft, commit.clients)
    await commit_access.add_invitations(draft, commit.invitations)
    await commit_objects.put_folder_copies(draft, commit.folder_copies)
    await commit_attachments.put(core, draft, commit.attachments)
    await commit_attachments.remove(core, transaction, draft, commit)
    await _show_to_new_members(draft, commit.statements)
    transaction.on_commit(lambda: core.ledger.publish(state))
    return CommitAnswer(state.seq, await changes.cursor(transaction.connection))


def _check_certified(before: State, after: State, author: Author) -> None:
    """The device is certified already, or by this very commit (which may also revoke it)."""
    device = before.devices.get(author.device) or after.devices.get(author.device)
    if device is None or (device.user, device.sign_key) != (author.user, author.device_key):
        raise Refused(
            f"device {author.device} is not certified",
            code=Code.DEVICE_UNKNOWN,
            hint="certify it by the first commit",
        )


async def _show_to_new_members(draft: Draft, added: tuple[Statement, ...]) -> None:
    """Let what a new share opens appear in the next sync of whom it is for."""
    for statement in added:
        if statement.kind is not Kind.ACCESS:
            continue
        access = statement.parse_body()
        assert isinstance(access, Access)
        if access.principal_kind != "user":
            continue
        if access.not_before > draft.now:
            await grants.share_later(
                draft.connection, access.folder, access.principal, access.not_before
            )
        else:
            await show_folder(draft, access.folder, access.principal)


async def show_folder(draft: Draft, folder: str, user: str) -> None:
    """Let a folder's objects and a user's keys of it count as changed."""
    await grants.renew(draft.connection, folder, user)
    for store in (FOLDERS, RECORDS, SETTINGS):
        await store.renew(draft.connection, folder)
