"""Answers to writes of devices; most are empty."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec


@dataclass(frozen=True)
class Outcome:
    """What became of one thing that was to be deleted."""

    uid: str
    code: str = "ok"
    message: str | None = None


def deleted_records(outcomes: Sequence[Outcome]) -> bytes:
    """The answer to `delete_secret`."""
    return msgspec.json.encode({"records": [_one("recordUid", item) for item in outcomes]})


def deleted_folders(outcomes: Sequence[Outcome]) -> bytes:
    """The answer to `delete_folder`; some SDKs want an empty list of records too."""
    folders = [_one("folderUid", item) for item in outcomes]
    return msgspec.json.encode({"records": [], "folders": folders})


def upload_place(url: str, *, status: int) -> bytes:
    """
    The answer to `add_file`: where the encrypted file goes, and the status that means success.

    `parameters` is text of a JSON object of texts; each becomes a part of the upload.
    """
    return msgspec.json.encode(
        {"url": url, "parameters": '{"version":"1"}', "successStatusCode": status}
    )


def _one(name: str, outcome: Outcome) -> dict[str, str | None]:
    return {name: outcome.uid, "responseCode": outcome.code, "errorMessage": outcome.message}
