from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commander.errors import InvalidInput
from plugins.pam.tunnel.tunnels_file import MAX_BYTES, MAX_TOLD, Entry, parse_tunnels_file

WHOLE = b"""\
# What the team needs in the morning.
version: 1
tunnels:
  orders-db:
    record: Infrastructure/Orders DB
    port: 15432
    idle_timeout: 15m
    path: direct
  web:
    record: "Wiki: internal"
    natural: true
    after: [orders-db]
  cache:
    record: Cache
    host: 127.0.5.1
    port: 6379
    target_port: 6380
    reason: nightly job
    ticket: OPS-7
    after: orders-db
  admin: {record: Admin, unix: run/admin.sock, after: [web, cache]}
  bastion: Build host
"""


def mistakes(text: str | bytes) -> list[str]:
    data = text.encode() if isinstance(text, str) else text
    with pytest.raises(InvalidInput) as failed:
        parse_tunnels_file(data, "t.yaml")
    assert failed.value.exit_code == 2
    assert "docs/tunnels-file.md" in failed.value.hint
    return failed.value.message.splitlines()


def one(body: str) -> list[str]:
    """Mistakes of a file with one tunnel; its keys begin in line 4."""
    return mistakes(f"version: 1\ntunnels:\n  a:\n    record: A\n    {body}\n")


def test_a_whole_file() -> None:
    """Every key, both short forms, and the groups that `after` makes."""
    read = parse_tunnels_file(WHOLE, "t.yaml")

    assert read.entries == (
        Entry(
            "orders-db", 4, "Infrastructure/Orders DB", port=15432, path="direct", idle_timeout=900
        ),
        Entry("web", 9, "Wiki: internal", natural=True, after=("orders-db",)),
        Entry(
            "cache", 13, "Cache", host="127.0.5.1", port=6379, target_port=6380,
            reason="nightly job", ticket="OPS-7", after=("orders-db",),
        ),
        Entry("admin", 21, "Admin", unix="run/admin.sock", after=("web", "cache")),
        Entry("bastion", 22, "Build host"),
    )  # fmt: skip
    assert [[entry.name for entry in group] for group in read.groups] == [
        ["orders-db", "bastion"], ["web", "cache"], ["admin"],
    ]  # fmt: skip
    assert read.entries[0].prefix == "ORDERS_DB"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("prot: 1", "t.yaml:5: 'prot' is not a key of a tunnel; did you mean 'port'?"),
        ("port: 0", "t.yaml:5: port: '0' is not a port; ports are 1 to 65535"),
        ("port: 65536", "t.yaml:5: port: '65536' is not a port; ports are 1 to 65535"),
        ("port: 0x50", "t.yaml:5: port: '0x50' is not a port; ports are 1 to 65535"),
        ("port: 12:30", "t.yaml:5: port: '12:30' is not a port; ports are 1 to 65535"),
        ("port: [1]", "t.yaml:5: port takes one value"),
        ("host: db", "t.yaml:5: host: 'db' is not an IP address; use 127.x.y.z or ::1"),
        ("path: dirct", "t.yaml:5: path: 'dirct' is not a path; did you mean 'direct'?"),
        ("natural: yes", "t.yaml:5: natural: 'yes' is neither true nor false"),
        ("idle_timeout: 5w", "t.yaml:5: idle_timeout: '5w' is not a time; write 90s, 15m, 8h or 30d"),
        ("reason: ''", "t.yaml:5: reason: must have 1 to 1024 characters"),
        ('reason: "a\\eb"', "t.yaml:5: reason: must not have control characters"),
        ("after: [{b: c}]", "t.yaml:5: after takes names of other tunnels of this file"),
        ("record: B", "t.yaml:5: 'record' is there already, in line 4"),
        ("<<: {port: 1}", "t.yaml:5: '<<' is not a key of a tunnel; known are"),
    ],
)  # fmt: skip
def test_a_value_that_is_none_is_told_with_its_line(body: str, told: str) -> None:
    """The value, the reason and the way out."""
    (line,) = one(body)
    assert line.startswith(told)


def test_an_address_of_the_network_is_refused() -> None:
    """A file in a repository must not open a colleague's machine to the network."""
    (line,) = one("host: 0.0.0.0")
    assert "can be reached by other machines" in line


def test_all_mistakes_are_told_at_once() -> None:
    """In the order of the file, so that one look repairs it."""
    told = mistakes(
        "version: 2\ntunnels:\n  A_B: x\n  b:\n    port: x\n  c: [x]\n  d:\n    record: R\n    unix: s\n    port: 1\n"
    )
    assert [line.split(":")[1] for line in told] == ["1", "3", "4", "5", "6", "7"]
    assert "b names no record" in told[2]
    assert "d has unix" in told[5]


def test_what_the_tunnels_are_to_each_other() -> None:
    """Unknown names, circles, and places that two want."""
    told = mistakes("version: 1\ntunnels:\n  one: {record: A, after: [tow]}\n  two: B\n")
    assert told == ["t.yaml:3: one is after 'tow'; did you mean 'two'?"]
    told = mistakes(
        "version: 1\ntunnels:\n  a: {record: A, after: b}\n  b: {record: A, after: a}\n"
    )
    assert told == ["t.yaml:3: a after b after a: none of them could be first"]
    told = mistakes("version: 1\ntunnels:\n  a: {record: A, port: 5}\n  b: {record: B, port: 5}\n")
    assert told == ["t.yaml:4: b listens at 127.0.0.1:5, as a does already"]
    told = mistakes(
        "version: 1\ntunnels:\n  a: {record: A, unix: s}\n  b: {record: B, unix: s}\n"
        "  c: {record: C, natural: true, host: 127.0.0.2}\n"
    )
    assert told == [
        "t.yaml:5: c has natural, which chooses the host itself",
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "t.yaml:1: must begin with `version: 1` and have `tunnels:`"),
        ("- a", "t.yaml:1: must begin with `version: 1` and have `tunnels:`"),
        ("version: 1", "t.yaml:1: has no `tunnels:`"),
        ("tunnels: {a: b}", "t.yaml:1: has no version; begin it with `version: 1`"),
        ("version: 1\ntunnels: {}", "t.yaml:2: `tunnels` must hold at least one"),
        ("version: 1\ntunnels: [a]", "t.yaml:2: `tunnels` must hold at least one"),
        ("version: 1\n[a]: b\ntunnels: {a: b}", "t.yaml:2: a key must be a word"),
        ("version: 1\ntunels: {a: b}", "t.yaml:1: has no `tunnels:`"),
        ("version: 1\ntunnels:\n  a: b\n  a: c", "t.yaml:4: 'a' is there already, in line 3"),
        ("version: 1\n---\ntunnels: {a: b}", "t.yaml:2: a second document begins"),
        ("version: 1\ntunnels: {a: &x b}", "t.yaml:2: anchors and aliases"),
        ("version: 1\ntunnels: {a: *x}", "t.yaml:2: anchors and aliases"),
        ("version: 1\ntunnels: {a: !!python/name:os.system x}", "t.yaml:2: tags"),
        ("version: 1\ntunnels: {a: [[[[[[[b]]]]]]]}", "t.yaml:2: is nested too deeply"),
        ("version: 1\n\ttunnels: x", "t.yaml:2: is not YAML"),
        ("version: 1\ntunnels: {a: 'b", "t.yaml:2: is not YAML"),
        ("version: 1\ntunnels: {a: \x07}", "t.yaml:2: has a character YAML does not allow"),
        (
            "version: 1\ntunnels:\n" + "".join(f"  t{n}: r\n" for n in range(201)),
            "t.yaml:3: has more",
        ),
    ],
)
def test_what_is_no_tunnels_file(text: str, told: str) -> None:
    """YAML has many doors; only the plain one is open."""
    assert any(line.startswith(told) for line in mistakes(text)), mistakes(text)


def test_bytes_and_sizes() -> None:
    """Refused before they are parsed."""
    assert mistakes(b"version: 1\ntunnels: {a: \xff}") == ["t.yaml:2: is not UTF-8"]
    with pytest.raises(InvalidInput, match="larger than"):
        parse_tunnels_file(b"#" * (MAX_BYTES + 1), "t.yaml")
    many = "version: 1\ntunnels:\n" + "".join(f"  t{n}: {{prot: 1}}\n" for n in range(50))
    assert len(mistakes(many)) == MAX_TOLD + 1


def test_a_bomb_of_brackets_is_refused_quickly() -> None:
    """No recursion before the depth was counted."""
    (line,) = mistakes("version: 1\ntunnels: " + "[" * 30_000)
    assert "nested too deeply" in line


def test_a_cut_file_is_read_or_refused() -> None:
    """However it is cut, nothing but the documented error comes out."""
    for cut in range(0, len(WHOLE), 3):
        with contextlib.suppress(InvalidInput):
            parse_tunnels_file(WHOLE[:cut], "t.yaml")


@settings(max_examples=60)
@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode()))
def test_anything_is_read_or_refused(data: bytes) -> None:
    """Bytes from anywhere raise nothing but the documented error."""
    for text in (data, b"version: 1\ntunnels:\n  a: {" + data + b"}\n"):
        with contextlib.suppress(InvalidInput):
            parse_tunnels_file(text, "t.yaml")
