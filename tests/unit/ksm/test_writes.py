from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from commander.errors import InvalidInput
from commander.ksm.writes import (
    AddFile,
    CompleteUpdate,
    CreateFolder,
    CreateSecret,
    DeleteFolders,
    DeleteSecrets,
    UpdateFolder,
    UpdateSecret,
    read_write,
)

ID = bytes(range(64))
RECORD, FOLDER, INNER = "R" * 21 + "A", "F" * 21 + "A", "I" * 21 + "A"
FILE = "-" + "f" * 20 + "A"


def b64(size: int) -> str:
    return base64.b64encode(bytes(size)).decode()


CREATE: dict[str, Any] = {
    "recordUid": RECORD, "recordKey": b64(125), "folderUid": FOLDER, "folderKey": b64(60),
    "data": b64(40), "subFolderUid": INNER,
}  # fmt: skip
UPDATE: dict[str, Any] = {
    "recordUid": RECORD, "data": b64(40), "revision": 3, "transactionType": "general",
    "links2Remove": [FILE],
}  # fmt: skip
COMPLETE: dict[str, Any] = {"recordUid": RECORD}
DELETE: dict[str, Any] = {"recordUids": [RECORD, RECORD, "odd"]}
NEW_FOLDER: dict[str, Any] = {
    "folderUid": INNER, "sharedFolderUid": FOLDER, "sharedFolderKey": b64(64), "data": b64(48),
    "parentUid": RECORD,
}  # fmt: skip
RENAME: dict[str, Any] = {"folderUid": INNER, "data": b64(48)}
DROP: dict[str, Any] = {"folderUids": [INNER], "forceDeletion": True}
FILE_ADD: dict[str, Any] = {
    "fileRecordUid": FILE, "fileRecordKey": b64(125), "fileRecordData": b64(50),
    "ownerRecordUid": RECORD, "ownerRecordData": b64(40), "ownerRecordRevision": 4,
    "linkKey": b64(60), "fileSize": 28,
}  # fmt: skip
READ = {
    "create": (CREATE, CreateSecret(ID, RECORD, FOLDER, INNER, bytes(60), bytes(125), bytes(40))),
    "update": (UPDATE, UpdateSecret(ID, RECORD, 3, True, (FILE,), bytes(40))),
    "complete": (COMPLETE, CompleteUpdate(ID, RECORD)),
    "delete": (DELETE, DeleteSecrets(ID, (RECORD, "odd"))),
    "new-folder": (NEW_FOLDER, CreateFolder(ID, INNER, FOLDER, RECORD, bytes(64), bytes(48))),
    "rename": (RENAME, UpdateFolder(ID, INNER, bytes(48))),
    "drop": (DROP, DeleteFolders(ID, (INNER,), True)),
    "file": (
        FILE_ADD,
        AddFile(ID, RECORD, 4, FILE, bytes(125), bytes(60), 28, bytes(50), bytes(40)),
    ),
}


def payload(content: dict[str, Any], **changes: Any) -> bytes:
    """A payload with some values changed."""
    return json.dumps({"clientId": base64.b64encode(ID).decode(), **content, **changes}).encode()


@pytest.mark.parametrize("kind", READ)
def test_each_write_is_told_by_its_content(kind: str) -> None:
    """The path is not signed, so it plays no part."""
    content, expected = READ[kind]

    assert read_write(payload(content)) == expected


@pytest.mark.parametrize("kind", READ)
def test_null_means_absent_and_unknown_keys_mean_nothing(kind: str) -> None:
    """One SDK sends every key with null; new ones may come."""
    content, expected = READ[kind]
    every: dict[str, Any] = {key: None for other, _ in READ.values() for key in other}

    assert read_write(payload(every | content, clientVersion="mp1", more=[1])) == expected


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("update", "delete"), ("update", "rename"), ("update", "drop"), ("update", "file"),
        ("create", "delete"), ("create", "new-folder"), ("create", "file"), ("rename", "drop"),
        ("rename", "file"), ("delete", "drop"), ("new-folder", "delete"), ("file", "drop"),
    ],
)  # fmt: skip
def test_two_kinds_in_one_are_refused(first: str, second: str) -> None:
    """Nobody can show a request as one of two things it says."""
    if (first, second) == ("update", "rename"):
        # Together they name what a new record names, but lack its keys.
        with pytest.raises(InvalidInput, match="folderKey is missing"):
            read_write(payload(UPDATE | RENAME))
        return
    with pytest.raises(InvalidInput, match="none of the writes"):
        read_write(payload(READ[first][0] | READ[second][0]))


def test_the_shared_folder_itself_is_no_sub_folder() -> None:
    """Some clients name it for "directly in it"."""
    made = read_write(payload(CREATE, subFolderUid=FOLDER))
    folder = read_write(payload(NEW_FOLDER, parentUid=FOLDER))

    assert isinstance(made, CreateSecret)
    assert isinstance(folder, CreateFolder)
    assert (made.inner_folder, folder.parent) == ("", "")


def test_optional_parts_may_be_missing() -> None:
    """A transaction, files to remove, a place, a revision of an attachment's record."""
    update = read_write(payload(UPDATE, transactionType=None, links2Remove=None))
    added = read_write(payload(FILE_ADD, ownerRecordRevision=None))

    assert update == UpdateSecret(ID, RECORD, 3, False, (), bytes(40))
    assert isinstance(added, AddFile)
    assert added.revision is None


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("create", {"recordUid": "-" + "R" * 21}),
        ("create", {"recordUid": "R" * 23}),
        ("create", {"folderUid": "x"}),
        ("create", {"subFolderUid": "x"}),
        ("create", {"folderKey": b64(59)}),
        ("create", {"folderKey": None}),
        ("create", {"recordKey": b64(124)}),
        ("create", {"data": None}),
        ("create", {"data": b64(27)}),
        ("create", {"data": b64(1024 * 1024 + 1)}),
        ("create", {"data": "Ω"}),
        ("update", {"revision": None}),
        ("update", {"revision": -1}),
        ("update", {"revision": 2**53 + 1}),
        ("update", {"revision": True}),
        ("update", {"transactionType": "other"}),
        ("update", {"links2Remove": ["x"]}),
        ("update", {"links2Remove": [FILE] * 501}),
        ("update", {"clientId": b64(63)}),
        ("delete", {"recordUids": []}),
        ("delete", {"recordUids": ["x" * 65]}),
        ("delete", {"recordUids": ["x"] * 501}),
        ("drop", {"forceDeletion": 1}),
        ("new-folder", {"sharedFolderKey": b64(48)}),
        ("new-folder", {"data": b64(5000)}),
        ("new-folder", {"parentUid": "x"}),
        ("rename", {"data": None}),
        ("file", {"fileRecordUid": "f" * 21 + "B"}),
        ("file", {"fileRecordUid": None}),
        ("file", {"fileSize": 27}),
        ("file", {"fileSize": 2**41}),
        ("file", {"fileSize": None}),
        ("file", {"linkKey": b64(61)}),
        ("file", {"fileRecordData": b64(65 * 1024)}),
        ("file", {"ownerRecordUid": None}),
    ],
)
def test_write_out_of_bounds_is_refused(kind: str, changes: dict[str, Any]) -> None:
    """Sizes, counts, forms and types."""
    content, _ = READ[kind]
    read_write(payload(content))

    with pytest.raises(InvalidInput):
        read_write(payload(content, **changes))


@pytest.mark.parametrize("kind", READ)
def test_every_truncation_is_refused(kind: str) -> None:
    """At each byte."""
    whole = payload(READ[kind][0])

    for cut in range(len(whole)):
        with pytest.raises(InvalidInput):
            read_write(whole[:cut])


def test_what_is_no_write_is_refused() -> None:
    """A question is no write, nor is nothing."""
    for content in ({}, {"requestedRecords": [RECORD]}, {"data": b64(40)}):
        with pytest.raises(InvalidInput, match="none of the writes"):
            read_write(payload(content))
