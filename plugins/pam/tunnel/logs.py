"""Finding the log of a tunnel that has ended: by the beginning of its id, or the newest of a record."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

from commander.config.paths import Paths
from commander.errors import CommanderError
from commander.hosting.journal import LINE_LIMIT, OPENED
from commander.plugin.context import Context

_LEAST_PREFIX = 4
# A tunnel is opened by its first path; what stands before are attempts.
_OPENED_WITHIN_LINES = 64


async def ended_logs(context: Context, wanted: str) -> list[Path]:
    """
    Logs whose tunnel id begins so (four characters at least, with or without padding), else the
    newest one of the record of that UID, or of that title or path when the vault can be opened.

    `--run` shows no tunnel id, so a record's name has to be enough after it, too.
    """
    by_id = _logs_by_id(context.paths, wanted)
    if by_id:
        return by_id
    by_uid = _newest_log_of(context.paths, wanted)
    if by_uid or not _logs(context.paths):
        return by_uid
    try:
        await context.require_login()
        record = context.vault.find_record(wanted, base=context.location.folder).uid
    except CommanderError:
        # Locked, cut off from the server, or no such record: to this command all the same.
        return []
    return _newest_log_of(context.paths, record)


def _logs(paths: Paths) -> list[Path]:
    if not paths.tunnel_logs.is_dir():
        return []
    return sorted(paths.tunnel_logs.glob("*.jsonl"))


def _logs_by_id(paths: Paths, wanted: str) -> list[Path]:
    bare = wanted.rstrip("=")
    if len(bare) < _LEAST_PREFIX:
        return []
    return [path for path in _logs(paths) if path.stem.startswith(bare)]


def _newest_log_of(paths: Paths, record: str) -> list[Path]:
    logs = sorted(_logs(paths), key=_written, reverse=True)
    return list(islice((path for path in logs if _record_of(path) == record), 1))


def _written(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except FileNotFoundError:
        return 0.0


def _record_of(path: Path) -> str:
    """The record that a log's tunnel was opened for; empty when the log does not say."""
    try:
        with path.open("rb") as file:
            for line in islice(iter(lambda: file.readline(LINE_LIMIT), b""), _OPENED_WITHIN_LINES):
                entry = json.loads(line)
                if isinstance(entry, dict) and entry.get("event") == OPENED:
                    return str(entry.get("record", ""))
    except (OSError, ValueError):
        return ""
    return ""
