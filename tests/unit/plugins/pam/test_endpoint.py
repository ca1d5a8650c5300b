from __future__ import annotations

import pytest

from commander.hosting.model import TunnelInfo
from commander.wire.records import RecordData
from plugins.pam.tunnel.endpoint import (
    client_program,
    client_variables,
    connect_line,
    describe_endpoint,
)


def info(remote: str = "db:5432", host: str = "127.0.0.1") -> TunnelInfo:
    return TunnelInfo(
        "pbxV4snkAP9KGCUhSb6aQQ", "c", "r", "Orders DB", "g", remote, host, 49152, "open",
        "relay", 1, 0.0, 0, 0, 0, 0, None, 1, "session",
    )  # fmt: skip


def record(kind: str, **fields: str) -> RecordData:
    data = RecordData.create(kind, "Orders DB")
    for name, value in fields.items():
        if name == "connectDatabase":
            data.set_first("text", value, name)
        else:
            data.set_first(name, value)
    return data


def test_the_box_names_the_bound_endpoint() -> None:
    """People see the box of the manual, scripts the same facts by name."""
    orders = record("pamDatabase", databaseType="postgresql", connectDatabase="orders")
    document = describe_endpoint(info(), orders, user="app")

    lines = document.text.splitlines()
    assert lines[2] == "|  Endpoint pbxV4snkAP9KGCUhSb6aQQ: Listening on: 127.0.0.1:49152  |"
    assert len(lines[1]) == len(lines[2]) == len(lines[3])
    assert "Connect                 : psql -h 127.0.0.1 -p 49152 -U app orders" in lines
    assert document.values["port"] == 49152
    assert document.values["connect"] == "psql -h 127.0.0.1 -p 49152 -U app orders"


@pytest.mark.parametrize(
    ("kind", "fields", "remote", "line"),
    [
        ("pamDatabase", {"databaseType": "postgresql"}, "db:15432", "psql -h 127.0.0.1 -p 49152"),
        ("pamDatabase", {"databaseType": "mysql"}, "db:1", "mysql -h 127.0.0.1 -P 49152 -p"),
        ("pamDatabase", {}, "db:5432", "psql -h 127.0.0.1 -p 49152"),
        ("pamDatabase", {}, "db:1433", ""),
        ("pamMachine", {}, "host:22", "ssh -p 49152 127.0.0.1"),
        ("pamMachine", {}, "host:2222", "ssh -p 49152 127.0.0.1"),
        ("pamMachine", {}, "host:8080", "curl http://127.0.0.1:49152/"),
    ],
)
def test_the_client_line_fits_the_target(
    kind: str, fields: dict[str, str], remote: str, line: str
) -> None:
    """Database type, then port, then kind of record say which client is shown."""
    assert connect_line(info(remote), record(kind, **fields), user="") == line


def test_a_user_name_never_becomes_more_than_a_word() -> None:
    """What a record holds is quoted for the shell it is pasted into."""
    orders = record("pamDatabase", databaseType="postgresql", connectDatabase="a; rm -rf /")

    line = connect_line(info(), orders, user="$(id)")
    assert line == "psql -h 127.0.0.1 -p 49152 -U '$(id)' 'a; rm -rf /'"


def test_programs_get_their_own_variables() -> None:
    """PAM_* always, and those the fitting client reads; nothing empty."""
    orders = record("pamDatabase", databaseType="postgresql")
    assert client_variables(info(), orders, user="app") == {
        "PAM_HOST": "127.0.0.1",
        "PAM_PORT": "49152",
        "PAM_TUNNEL": "pbxV4snkAP9KGCUhSb6aQQ",
        "PGHOST": "127.0.0.1",
        "PGPORT": "49152",
        "PGUSER": "app",
    }
    mysql = record("pamDatabase", databaseType="mariadb")
    assert client_variables(info(), mysql, user="")["MYSQL_TCP_PORT"] == "49152"
    assert set(client_variables(info("h:9"), record("pamRemoteBrowser"), user="")) == {
        "PAM_HOST",
        "PAM_PORT",
        "PAM_TUNNEL",
    }
    assert client_program(info("h:9"), record("pamRemoteBrowser")) == ""


def test_an_ipv6_endpoint_is_written_in_brackets() -> None:
    """Address and port stay apart."""
    text = describe_endpoint(info("h:80", "::1"), record("pamMachine"), user="").text

    assert "[::1]:49152" in text
    assert "curl 'http://[::1]:49152/'" in text
