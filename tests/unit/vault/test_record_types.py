from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commander.errors import InvalidInput
from commander.vault.record_types import (
    Assignment,
    assign,
    check_host,
    check_title,
    find_type,
    generate_password,
    masked,
    parse_assignment,
    read_value,
    resolve,
    split_host_port,
)
from commander.wire.records import RecordData


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("login=app", Assignment("", "login", "", "app")),
        ("f.password=a=b", Assignment("f", "password", "", "a=b")),
        ("c.text.My label=x", Assignment("c", "text", "My label", "x")),
        ("text.a==b=c", Assignment("", "text", "a=b", "c")),
        ("url=", Assignment("", "url", "", "")),
        ("text.a.b=c", Assignment("", "text", "a.b", "c")),
    ],
)
def test_assignments_are_read(text: str, wanted: Assignment) -> None:
    """Section, type, label and value, with == for = in a label."""
    assert parse_assignment(text) == wanted


@pytest.mark.parametrize("text", ["", "login", "=x", "9x=1", "a b=1", "f.=x", "text.\x1b=x"])
def test_other_texts_are_no_assignment(text: str) -> None:
    """Refused with the field's name, never its value."""
    with pytest.raises(InvalidInput):
        parse_assignment(text)


@given(text=st.text(max_size=60))
def test_random_text_gives_only_the_documented_error(text: str) -> None:
    """Whatever is typed."""
    try:
        given_ = parse_assignment(text)
        read_value(given_)
    except InvalidInput:
        return


def test_error_does_not_quote_the_value() -> None:
    """A secret in a field that is no field stays out of the message."""
    with pytest.raises(InvalidInput) as caught:
        parse_assignment("9password=hunter2")

    assert "hunter2" not in caught.value.message + caught.value.hint


@pytest.mark.parametrize(
    "host",
    [
        "a b", "a\nb", "user@host", "a/b", "a%0a", "host:22", "b\u0430nk.example", "a." * 150,
        "example.org.", "", "-a", "a-", "a..b", "[::1", "::g", "\u0661.example",
    ],
)  # fmt: skip
def test_bad_hosts_are_refused(host: str) -> None:
    """B031: white space, signs, ports, look-alikes, overlong names, trailing dots."""
    with pytest.raises(InvalidInput):
        check_host(host)


@pytest.mark.parametrize("host", ["db", "10.0.0.5", "a-b.example.org", "xn--bcher-kva.example"])
def test_good_hosts_are_kept(host: str) -> None:
    """Names and addresses in ASCII."""
    assert check_host(host) == host


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("db:5432", ("db", 5432)),
        ("db", ("db", 0)),
        ("[::1]:22", ("::1", 22)),
        ("[fe80::1]", ("fe80::1", 0)),
        ("2001:DB8::1", ("2001:db8::1", 0)),
    ],
)
def test_hosts_with_ports_are_split(text: str, wanted: tuple[str, int]) -> None:
    """IPv6 needs brackets when a port follows."""
    assert split_host_port(text) == wanted


@pytest.mark.parametrize(
    "port", ["0", "-1", "65536", "22 ", "\u0662\u0662", "1e3", "null", "true", "", "022222"]
)
def test_bad_ports_are_refused(port: str) -> None:
    """B032."""
    with pytest.raises(InvalidInput):
        split_host_port(f"db:{port}")


@pytest.mark.parametrize(
    "value", ['{"hostName":"a b"}', '{"hostName":"a","port":true}', '{"port":"22"}', '"a"', "{"]
)
def test_hosts_in_json_are_checked_too(value: str) -> None:
    """$JSON is no way around the rules."""
    with pytest.raises(InvalidInput):
        read_value(parse_assignment(f"pamHostname=$JSON:{value}"))


def test_values_are_read_by_type() -> None:
    """Hosts become objects, check boxes booleans, choices their exact spelling."""
    assert read_value(parse_assignment("pamHostname=db:22")) == {"hostName": "db", "port": "22"}
    assert read_value(parse_assignment("checkbox.useSSL=on")) is True
    assert read_value(parse_assignment("databaseType=PostgreSQL")) == "postgresql"
    assert read_value(parse_assignment("url=")) is None
    assert read_value(parse_assignment('text=$JSON:{"a":[1]}')) == {"a": [1]}


@pytest.mark.parametrize(
    "text",
    ["checkbox=maybe", "databaseType=dbase", "file=@x", "password=$GEN:rand,7", "password=$GEN:x",
     "text=$JSON:NaN", "text=$JSON:" + "[" * 5000],
)  # fmt: skip
def test_bad_values_are_refused(text: str) -> None:
    """With an error that says what would be right."""
    with pytest.raises(InvalidInput):
        read_value(parse_assignment(text))


@pytest.mark.parametrize("length", [8, 20, 1024])
def test_generated_passwords_hold_every_class(length: int) -> None:
    """Length as asked for, and never the same twice."""
    password = generate_password(f"rand,{length}")

    assert len(password) == length
    assert password != generate_password(f"rand,{length}")
    assert any(c.islower() for c in password)
    assert any(c.isupper() for c in password)
    assert any(c.isdigit() for c in password)
    assert any(not c.isalnum() for c in password)


def test_labels_alone_find_their_field() -> None:
    """`operatingSystem=linux` is the text field of that label; unknown fields are refused."""
    machine = find_type("PAMmachine")

    found = resolve(machine, parse_assignment("operatingSystem=linux"), force=False)
    assert (found.section, found.type, found.label) == ("f", "text", "operatingSystem")
    custom = resolve(machine, parse_assignment("email=a"), force=False)
    assert custom.section == "c"
    with pytest.raises(InvalidInput):
        resolve(machine, parse_assignment("nonsense=a"), force=False)
    assert resolve(machine, parse_assignment("nonsense=a"), force=True).section == "c"
    with pytest.raises(InvalidInput):
        resolve(machine, parse_assignment("f.email=a"), force=False)


def test_fields_are_set_replaced_and_removed() -> None:
    """Setting twice replaces; None removes; a label makes another field."""
    data = RecordData.create("login", "x")
    assign(data, parse_assignment("login=a"), "a")
    assign(data, parse_assignment("login=b"), "b")
    assign(data, parse_assignment("c.text.one=1"), "1")
    assign(data, parse_assignment("c.text.two=2"), "2")

    assert data.text("login") == "b"
    assert [field["label"] for field in data.content["custom"]] == ["one", "two"]
    assign(data, parse_assignment("c.text.one="), None)
    assert [field["label"] for field in data.content["custom"]] == ["two"]


def test_secrets_are_masked_by_type() -> None:
    """Passwords and keys, not logins; odd values do not crash."""
    assert masked({"type": "password", "value": ["x", "y"]}) == ["********", "********"]
    assert masked({"type": "login", "value": ["x"]}) == ["x"]
    assert masked({"type": "login", "value": "x"}) == []
    for field in (
        {"type": "text", "label": "DB Password", "value": ["x"]},
        {"type": "text", "privacyScreen": True, "value": ["x"]},
        {"type": "apiToken", "value": ["x"]},
    ):
        assert masked(field) == ["********"]


@pytest.mark.parametrize("title", ["", "  ", "a\x00b", "a\nb", "\ud800", "x" * 257])
def test_bad_titles_are_refused(title: str) -> None:
    """B028: empty, blank, NUL, lone surrogate, overlong."""
    with pytest.raises(InvalidInput):
        check_title(title)


def test_unknown_record_type_names_the_known_ones() -> None:
    """With all of them in the hint."""
    with pytest.raises(InvalidInput) as caught:
        find_type("pamToaster")

    assert "pamDatabase" in caught.value.hint
