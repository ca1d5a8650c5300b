"""Candidates for completion, from the vault in memory; quick, and never the network."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from commander.plugin.context import Context
from commander.vault.record_types import RECORD_TYPES
from commander.vault.state import join_path

MOST = 2_000


def record_candidates(context: Context) -> Iterable[str]:
    """Titles of records."""
    if not context.is_logged_in:
        return ()
    records = islice(context.vault.view.records.values(), MOST)
    return sorted({record.data.title for record in records})


def folder_candidates(context: Context) -> Iterable[str]:
    """Paths of folders."""
    if not context.is_logged_in:
        return ()
    view = context.vault.view
    paths = (join_path(view.path_of(uid)) for uid in islice(view.folders, MOST))
    return sorted(path for path in paths if path)


def application_candidates(context: Context) -> Iterable[str]:
    """Titles of applications."""
    if not context.is_logged_in:
        return ()
    return [application.title for application in context.vault.applications.all()]


def user_candidates(context: Context) -> Iterable[str]:
    """E-mails of users."""
    if not context.is_logged_in:
        return ()
    return [user.email for user in context.vault.people.users()]


def role_candidates(context: Context) -> Iterable[str]:
    """Names of roles."""
    if not context.is_logged_in:
        return ()
    return [role.name for role in context.vault.people.roles()]


def record_type_candidates(context: Context) -> Iterable[str]:
    """Record types."""
    return list(RECORD_TYPES)
