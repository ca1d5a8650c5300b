from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commander.errors import InvalidInput
from commander.wire.records import RecordData, parse_port, parse_record

DATABASE = {
    "title": "Orders DB",
    "type": "pamDatabase",
    "fields": [
        {"type": "pamHostname", "value": [{"hostName": "db.internal", "port": "5432"}]},
        {"type": "text", "label": "note", "value": ["x"], "future": {"a": [1]}},
    ],
    "custom": [{"type": "text", "label": "own", "value": []}],
    "notes": "n",
    "somethingNew": True,
}


def test_unknown_members_survive_a_rewrite() -> None:
    """What a newer program wrote stays as it was."""
    record = parse_record(json.dumps(DATABASE).encode())
    record.set_first("text", "y", "note")
    again = parse_record(record.serialize()).content

    assert again["somethingNew"] is True
    assert again["fields"][1] == {
        "type": "text", "label": "note", "value": ["y"], "future": {"a": [1]},
    }  # fmt: skip


def test_fields_are_found_by_type_and_label() -> None:
    """Standard fields come first; what is missing is None or empty."""
    record = parse_record(json.dumps(DATABASE).encode())

    assert record.host_and_port() == ("db.internal", 5432)
    assert record.text("text", "note") == "x"
    assert record.first("text", "own") is None
    assert record.text("url") == ""
    assert (record.title, record.type, record.notes) == ("Orders DB", "pamDatabase", "n")


def test_length_is_hidden_in_steps() -> None:
    """Serialized records are multiples of 256 bytes."""
    for size in (0, 1, 100, 300):
        record = RecordData.create("login", "x" * (size + 1))
        assert len(record.serialize()) % 256 == 0
        assert parse_record(record.serialize()).content == record.content


def test_a_field_is_added_once() -> None:
    """Setting a field twice changes it; None empties it."""
    record = RecordData.create("login", "t")
    record.set_first("login", "bob")
    record.set_first("login", "eve")
    assert record.content["fields"] == [{"type": "login", "value": ["eve"]}]

    record.set_first("login", None)
    assert record.first("login") is None


@pytest.mark.parametrize(
    "data",
    [
        b"", b"[]", b"null", b"{", b'{"title":1,"type":"x"}', b'{"title":"a"}',
        b'{"title":"a","type":"b","fields":{}}', b'{"title":"a","type":"b","fields":[1]}',
        b'{"title":"a","title":"b","type":"c"}', b'{"title":"a","type":"b","x":NaN}',
        b'{"title":"a","type":"b","x":' + b"1" * 400 + b"}",
        b'{"title":"a","type":"b","x":' + b"[" * 40 + b"]" * 40 + b"}",
        b'{"title":"a","type":"b","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b" " * (1024 * 1024 + 1), b"\xff\xfe", b'{"title":"a","type":"b","fields":[' + b'{"type":"t"},' * 600 + b'{"type":"t"}]}',
    ],
)  # fmt: skip
def test_malformed_records_are_refused(data: bytes) -> None:
    """Bad JSON, duplicate keys, depth, size and odd numbers are refused."""
    with pytest.raises(InvalidInput):
        parse_record(data)


def test_a_record_too_large_is_refused_when_written() -> None:
    """A record over 1 MiB is not sealed."""
    with pytest.raises(InvalidInput):
        RecordData({"title": "x", "type": "y", "notes": "n" * 1024 * 1024}).serialize()


@pytest.mark.parametrize(
    "value", [0, -1, 65536, "22 ", "\u0661\u0662", "1e3", None, True, "", 2.5, [22], "099999"]
)
def test_what_is_no_port_is_refused(value: Any) -> None:
    """Ports are 1 to 65535 in ASCII digits or as a number."""
    with pytest.raises(InvalidInput):
        parse_port(value)
    with pytest.raises(InvalidInput):
        RecordData(
            {
                "title": "a",
                "type": "b",
                "fields": [{"type": "pamHostname", "value": [{"port": value or "0"}]}],
            }
        ).host_and_port()


@pytest.mark.parametrize("value", [1, "1", 65535, "5432"])
def test_ports_are_read(value: Any) -> None:
    """The control: numbers and digits."""
    assert parse_port(value) == int(value)


@given(st.binary(max_size=400))
def test_any_bytes_give_only_documented_errors(data: bytes) -> None:
    """Whatever the payload holds, the parser answers or says InvalidInput."""
    try:
        parse_record(data)
    except InvalidInput:
        return
