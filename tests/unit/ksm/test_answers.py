from __future__ import annotations

import json

from commander.ksm.answers import Outcome, deleted_folders, deleted_records, upload_place


def test_outcomes_are_told_one_by_one() -> None:
    """As SDKs read them: "ok" or a code, with a message."""
    outcomes = [Outcome("a"), Outcome("b", "access_denied", "no")]

    records = json.loads(deleted_records(outcomes))
    folders = json.loads(deleted_folders(outcomes))

    assert records == {
        "records": [
            {"recordUid": "a", "responseCode": "ok", "errorMessage": None},
            {"recordUid": "b", "responseCode": "access_denied", "errorMessage": "no"},
        ]
    }
    assert folders["records"] == []
    assert [one["folderUid"] for one in folders["folders"]] == ["a", "b"]


def test_place_of_an_upload_has_its_parameters_as_text() -> None:
    """A JSON object within a JSON text."""
    found = json.loads(upload_place("https://h/x", status=201))

    assert (found["url"], found["successStatusCode"]) == ("https://h/x", 201)
    assert all(isinstance(value, str) for value in json.loads(found["parameters"]).values())
