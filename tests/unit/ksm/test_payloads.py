from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from commander.errors import InvalidInput
from commander.ksm import payloads
from commander.ksm.keys import P256PrivateKey
from commander.ksm.payloads import (
    File,
    Folder,
    GetSecretRequest,
    GetSecretResponse,
    Link,
    Record,
    RecordSeals,
    RenderedFolder,
    RenderedRecord,
)
from tests.support.vectors import load

CLIENT_ID = bytes(range(64))
KEY = P256PrivateKey.generate().public
UID = "AAAAAAAAAAAAAAAAAAAAAA"
FULL = GetSecretRequest(CLIENT_ID, KEY, ("a", "b"), ("c",), True, True, "mp17.3.0")
RECORD = Record(UID, b"key", b"data", 3, True)


def payload(**changes: Any) -> bytes:
    """A minimal request with some values changed."""
    return json.dumps({"clientId": base64.b64encode(CLIENT_ID).decode(), **changes}).encode()


def test_recorded_payload_is_read() -> None:
    """A payload of the past means the same today."""
    own = load("own/ksm")[0]

    found = GetSecretRequest.parse(own["payload"].encode())

    assert found.client_id.hex() == own["client_id"]
    assert (found.records, found.folders, found.links, found.seals) == (("a",), ("b",), True, True)
    assert found.to_payload().decode() == own["payload"]


@given(
    records=st.lists(st.text(max_size=64), max_size=4),
    folders=st.lists(st.text(max_size=64), max_size=4),
    flags=st.tuples(st.booleans(), st.booleans(), st.booleans()),
)
def test_request_round_trip(
    records: list[str], folders: list[str], flags: tuple[bool, bool, bool]
) -> None:
    """Every question is read back as it was asked."""
    binds, links, seals = flags
    asked = GetSecretRequest(
        CLIENT_ID, KEY if binds else None, tuple(records), tuple(folders), links, seals
    )

    assert GetSecretRequest.parse(asked.to_payload()) == asked


def test_nulls_and_unknown_keys_mean_nothing() -> None:
    """One SDK sends every key with null, another leaves them out; new ones may come."""
    names = ["publicKey", "requestedRecords", "requestedFolders", "requestLinks", "clientVersion"]
    nulls: dict[str, Any] = dict.fromkeys([*names, "commander"])

    found = GetSecretRequest.parse(payload(**nulls, somethingNew=[{"a": 1}]))

    assert found == GetSecretRequest(CLIENT_ID, client_version="")


@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
@pytest.mark.parametrize("strip", ["", "="])
def test_client_id_comes_in_any_base64(encode: Any, strip: str) -> None:
    """SDKs differ in alphabet and padding."""
    text = encode(b"\xff" * 64).decode().rstrip(strip)

    assert GetSecretRequest.parse(payload(clientId=text)).client_id == b"\xff" * 64


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"clientId": ""}, "clientId"),
        ({"clientId": "AAAA"}, "clientId"),
        ({"clientId": "A" * 1000}, "clientId"),
        ({"clientId": None}, "clientId"),
        ({"publicKey": "AAAA"}, "publicKey"),
        ({"publicKey": base64.b64encode(b"\x04" + bytes(64)).decode()}, "publicKey"),
        ({"requestedRecords": "x"}, "requestedRecords"),
        ({"requestedRecords": [1]}, "requestedRecords"),
        ({"requestedRecords": ["x" * 65]}, "requestedRecords"),
        ({"requestedRecords": ["x"] * 10_001}, "requestedRecords"),
        ({"requestedFolders": ["x"] * 10_001}, "requestedFolders"),
        ({"requestLinks": 1}, "requestLinks"),
        ({"clientVersion": "x" * 65}, "clientVersion"),
        ({"commander": {"seals": True, "more": 1}}, "commander"),
        ({"commander": {"seals": 1}}, "commander.seals"),
        ({"commander": []}, "commander"),
    ],
)
def test_request_out_of_bounds_is_refused_with_its_place(
    changes: dict[str, Any], place: str
) -> None:
    """Sizes, counts and types are bounded, and the message names the key."""
    with pytest.raises(InvalidInput, match=place):
        GetSecretRequest.parse(payload(**changes))


def test_the_control_request_is_accepted() -> None:
    """What the cases above change is accepted unchanged, and the largest filter too."""
    GetSecretRequest.parse(payload())
    GetSecretRequest.parse(payload(requestedRecords=["x" * 22] * 10_000))


def test_over_long_payload_is_refused() -> None:
    """The size is bounded before anything is parsed."""
    with pytest.raises(InvalidInput, match="longer than"):
        GetSecretRequest.parse(payload() + b" " * payloads.MAX_PAYLOAD_BYTES)


def test_cut_request_is_refused() -> None:
    """A payload cut at any place is refused."""
    for cut in range(len(FULL.to_payload())):
        with pytest.raises(InvalidInput):
            GetSecretRequest.parse(FULL.to_payload()[:cut])


def test_empty_answer_has_every_key() -> None:
    """SDKs without defaults find each key; the one that must not be null is left out."""
    answer = json.loads(GetSecretResponse.make(folders=[], records=[]).to_payload())

    assert answer == {
        "encryptedAppKey": None, "appOwnerPublicKey": None, "folders": [], "records": [],
        "expiresOn": 0, "warnings": None, "extra": None,
    }  # fmt: skip


def test_record_has_every_key_and_no_extension_unless_given() -> None:
    """An SDK that refuses unknown keys never sees ours; links are sent only when asked for."""
    answer = GetSecretResponse.make(
        folders=[Folder(UID, b"key", True, [RECORD])], records=[], app_data=b"\xff\xff"
    )

    shown = json.loads(answer.to_payload())

    assert shown["appData"] == "__8"
    assert shown["folders"][0] == {
        "folderUid": UID, "folderKey": "a2V5", "isEditable": True, "data": None, "parent": None,
        "records": [{
            "recordUid": UID, "recordKey": "a2V5", "data": "ZGF0YQ==", "revision": 3,
            "isEditable": True, "files": None, "folderUid": None, "innerFolderUid": None,
        }],
    }  # fmt: skip


def test_extension_is_an_object_of_three_values() -> None:
    """The names that our gateway reads; absent parts are null."""
    record = msgspec.structs.replace(RECORD, commander=RecordSeals(b"s", None, None))
    shown = json.loads(GetSecretResponse.make(folders=[], records=[record]).to_payload())

    assert shown["records"][0]["commander"] == {
        "seal": "cw==", "settings": None, "settings_seal": None
    }  # fmt: skip


SEALS = st.builds(
    RecordSeals,
    seal=st.binary(max_size=20),
    settings=st.none() | st.binary(max_size=20),
    settings_seal=st.none() | st.binary(max_size=20),
)
RECORDS = st.builds(
    Record,
    record_uid=st.just(UID),
    record_key=st.binary(max_size=60),
    data=st.binary(max_size=60),
    revision=st.integers(0, 2**53),
    is_editable=st.booleans(),
    files=st.none() | st.just([File("f", b"k", b"d", "https://x/y")]),
    folder_uid=st.none() | st.just(UID),
    links=st.just(msgspec.UNSET) | st.just([Link("r", b"d", "meta"), Link("r")]),
    commander=st.just(msgspec.UNSET) | SEALS,
)


@given(
    records=st.lists(RECORDS, max_size=3),
    app_data=st.none() | st.binary(max_size=40),
    app_key=st.none() | st.binary(min_size=60, max_size=60),
)
def test_answer_round_trip(
    records: list[Record], app_data: bytes | None, app_key: bytes | None
) -> None:
    """Every answer is read back as it was written."""
    answer = GetSecretResponse.make(
        folders=[Folder(UID, b"key", False, records)], records=records, app_data=app_data,
        encrypted_app_key=app_key, app_owner_public_key=KEY.raw, expires_on=5,
    )  # fmt: skip

    found = GetSecretResponse.parse(answer.to_payload() + b"   ")

    assert found == answer
    assert found.app_data == app_data


@pytest.mark.parametrize(
    "change",
    [
        {"encryptedAppKey": "AAAA"}, {"appOwnerPublicKey": "AAAA"}, {"appData": "A"},
        {"appData": None}, {"expiresOn": -1}, {"expiresOn": None}, {"records": [{}]},
        {"folders": {}}, {"warnings": ["x"] * 101}, {"records": [{"recordUid": ""}]},
    ],
)  # fmt: skip
def test_answer_out_of_bounds_is_refused(change: dict[str, Any]) -> None:
    """A server cannot feed the gateway other forms."""
    good = json.loads(GetSecretResponse.make(folders=[], records=[]).to_payload())
    GetSecretResponse.parse(json.dumps(good).encode())

    with pytest.raises(InvalidInput):
        GetSecretResponse.parse(json.dumps(good | change).encode())


def test_limits_of_an_answer_are_the_published_ones() -> None:
    """The table of the README: counts, sizes and numbers, each at its border."""
    assert (payloads.MAX_RECORDS, payloads.MAX_FOLDERS) == (50_000, 10_000)
    assert (payloads.MAX_RECORD_BYTES, payloads.MAX_PAYLOAD_BYTES) == (2**23, 2**19)
    seals = RecordSeals(bytes(2**16), b"", bytes(2**16))
    largest = Record("x" * 64, bytes(256), b"", 2**53, True, commander=seals)
    good = GetSecretResponse.make(folders=[], records=[largest])
    assert GetSecretResponse.parse(good.to_payload()) == good

    for change in (
        {"record_uid": "x" * 65}, {"record_uid": ""}, {"record_key": bytes(257)},
        {"revision": 2**53 + 1}, {"revision": -1}, {"commander": RecordSeals(bytes(2**16 + 1))},
        {"files": [File("f", b"", b"")] * 1001}, {"data": bytes(2**23 + 1)},
    ):  # fmt: skip
        record = msgspec.structs.replace(largest, **change)
        wrong = GetSecretResponse.make(folders=[], records=[record])
        with pytest.raises(InvalidInput, match=r"records"):
            GetSecretResponse.parse(wrong.to_payload())


SMALL = GetSecretResponse.make(folders=[Folder(UID, b"k", True, [RECORD])], records=[])


def test_cut_answer_is_refused() -> None:
    """An answer cut at any place is refused."""
    for cut in range(len(SMALL.to_payload())):
        with pytest.raises(InvalidInput):
            GetSecretResponse.parse(SMALL.to_payload()[:cut])


# --- written once, sent often --------------------------------------------------------------------


def test_rendered_record_is_the_record() -> None:
    """For every device: editable or not, with files and links or without."""
    rendered = RenderedRecord.render(
        UID, record_key=b"key", data=b"data", revision=3, inner_folder="i" * 22
    )
    file = File(UID, b"key", b"data", "https://h/x")

    plain = rendered.for_device(is_editable=False, files=None, has_links=False)
    full = rendered.for_device(is_editable=True, files=[file], has_links=True)

    record = Record(UID, b"key", b"data", 3, False, inner_folder_uid="i" * 22)
    assert bytes(plain) == msgspec.json.encode(record)
    assert msgspec.json.decode(full, type=Record) == msgspec.structs.replace(
        record, is_editable=True, files=[file], links=[]
    )


def test_rendered_folders_make_the_same_answer() -> None:
    """As if their records had been written with it."""
    rendered = RenderedRecord.render(
        UID, record_key=b"key", data=b"data", revision=3, inner_folder=""
    )
    raw = rendered.for_device(is_editable=True, files=None, has_links=False)
    whole = GetSecretResponse.make(folders=[Folder(UID, b"fk", True, [RECORD])], records=[])

    text = GetSecretResponse.make(folders=[], records=[], warnings=["w"]).to_payload(
        [RenderedFolder(UID, b"fk", True, [raw])]
    )

    found = GetSecretResponse.parse(text)
    assert (found.folders, found.warnings) == (whole.folders, ["w"])


def test_signed_request_of_a_record_comes_along_for_our_gateways() -> None:
    """And is left out where there is none: an older gateway knows no such key."""
    plain = msgspec.structs.replace(RECORD, commander=RecordSeals(b"s"))
    written = msgspec.structs.replace(RECORD, commander=RecordSeals(b"s", None, None, b"w"))

    assert b'"write"' not in msgspec.json.encode(plain)
    assert msgspec.json.decode(msgspec.json.encode(written), type=Record) == written
