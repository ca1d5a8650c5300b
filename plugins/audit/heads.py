"""
Where each chain stood at the last sound check of this machine, so that a cut end is noticed.

<home>/audit-heads.json, version 1, 0600, replaced at once; of one server.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from commander.audit.chain import ChainHead
from commander.errors import InvalidInput
from commander.files import make_private_directory, read_private, write_private

VERSION = 1
LIMIT = 16 * 1024 * 1024
FILE_NAME = "audit-heads.json"


class _HeadsFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int
    server: str
    heads: dict[str, ChainHead]


def read_heads(home: Path, server: str) -> dict[str, ChainHead]:
    """The heads of a server; empty at the first time. Raises InvalidInput for a damaged file."""
    path = home / FILE_NAME
    try:
        found = msgspec.json.decode(read_private(path, limit=LIMIT), type=_HeadsFile)
    except FileNotFoundError:
        return {}
    except (msgspec.MsgspecError, ValueError):
        found = None
    if found is None or found.version != VERSION:
        raise InvalidInput(
            f"{path} is damaged or of another version",
            hint="remove it; then this check cannot tell whether the log's end was cut off",
        )
    return dict(found.heads) if found.server == server else {}


def write_heads(home: Path, server: str, heads: Mapping[str, ChainHead]) -> None:
    """Replace the file. Raises CommanderError when the disk refuses."""
    make_private_directory(home)
    data = msgspec.json.encode(_HeadsFile(VERSION, server, dict(heads)))
    write_private(home / FILE_NAME, msgspec.json.format(data) + b"\n")
