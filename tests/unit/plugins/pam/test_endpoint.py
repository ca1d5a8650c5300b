from __future__ import annotations

import shlex

import msgspec
import pytest

from commander.hosting.model import LocalPort, TunnelInfo
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


@pytest.mark.parametrize(
    ("program", "user", "database", "line"),
    [
        ("ssh", "-oProxyCommand=id", "", "ssh -p 49152 127.0.0.1"),
        ("ssh", "ssh://x@evil/", "", "ssh -p 49152 127.0.0.1"),
        ("ssh", "CORP\\ann", "", "ssh -p 49152 'CORP\\ann@127.0.0.1'"),
        ("psql", "-W", "host=evil", "psql -h 127.0.0.1 -p 49152 -U -W -d 'dbname='\"'\"'host=evil'\"'\"''"),
        ("psql", "", "postgresql://evil", "psql -h 127.0.0.1 -p 49152 -d 'dbname='\"'\"'postgresql://evil'\"'\"''"),
        ("psql", "", "-fx", "psql -h 127.0.0.1 -p 49152 -d 'dbname='\"'\"'-fx'\"'\"''"),
        ("psql", "a\x1b[2J", "b\nid\n", "psql -h 127.0.0.1 -p 49152"),
        ("mysql", "-e", "-eid", "mysql -h 127.0.0.1 -P 49152 -u -e -p -D -eid"),
        ("mysql", "", "a\nb", "mysql -h 127.0.0.1 -P 49152 -p"),
    ],
)  # fmt: skip
def test_values_of_a_record_stay_values_of_the_client(
    program: str, user: str, database: str, line: str
) -> None:
    """No option, no other server by a connection string, no second line: who writes a record does not paste."""
    kinds = {"ssh": ("pamMachine", ""), "psql": ("pamDatabase", "postgresql")}
    kind, database_type = kinds.get(program, ("pamDatabase", "mysql"))
    fields = {"connectDatabase": database} if database else {}
    named = record(kind, databaseType=database_type, **fields)

    assert connect_line(info("db:1"), named, user=user) == line


def test_libpq_reads_the_quoted_name_as_a_name() -> None:
    """With its quotes and backslashes; nothing in it becomes another setting."""
    name = "a\\' host=evil b"
    orders = record("pamDatabase", databaseType="postgresql", connectDatabase=name)

    assert shlex.split(connect_line(info(), orders, user=""))[-2:] == [
        "-d", "dbname='a\\\\\\' host=evil b'",
    ]  # fmt: skip


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


def unix_info(path: str, remote: str = "db:5432") -> TunnelInfo:
    return msgspec.structs.replace(info(remote), local_host=path, local_port=0, unix=path)


def test_a_unix_socket_is_an_endpoint() -> None:
    """Each client's own way to name one; libpq finds it only under its own kind of name."""
    orders = record("pamDatabase", databaseType="postgresql", connectDatabase="orders")
    mysql = record("pamDatabase", databaseType="mysql")

    named = unix_info("/run/x/.s.PGSQL.5432")
    assert connect_line(named, orders, user="app") == "psql -h /run/x -p 5432 -U app orders"
    variables = client_variables(named, orders, user="app")
    assert variables["PGHOST"] == "/run/x"
    assert variables["PAM_SOCKET"] == "/run/x/.s.PGSQL.5432"
    assert "PAM_PORT" not in variables
    other = unix_info("/run/x/db.sock")
    assert connect_line(other, orders, user="app") == ""
    assert "PGHOST" not in client_variables(other, orders, user="app")
    assert connect_line(other, mysql, user="app") == "mysql -S /run/x/db.sock -u app -p"
    assert client_variables(other, mysql, user="")["MYSQL_UNIX_PORT"] == "/run/x/db.sock"
    ssh = connect_line(unix_info("/run/x/s", "host:22"), record("pamMachine"), user="ann")
    assert ssh == "ssh -o 'ProxyCommand=nc -U /run/x/s' ann@host"
    web = connect_line(unix_info("/run/x/s", "host:80"), record("pamMachine"), user="")
    assert web == "curl --unix-socket /run/x/s http://localhost/"
    assert (
        "Listening on: /run/x/s " in describe_endpoint(unix_info("/run/x/s"), orders, user="").text
    )


def test_a_natural_endpoint_says_what_its_name_is_good_for() -> None:
    """The address first, the name as far as it leads here, the target's own name for certificates."""
    orders = record("pamDatabase", databaseType="postgresql")
    natural = msgspec.structs.replace(
        info("db.corp:5432", "127.80.1.2"),
        local_port=5432,
        local_name="orders-db.localhost",
        also=(LocalPort("127.0.0.1", 5432), LocalPort("127.80.1.2", 8080, 8080)),
    )
    document = describe_endpoint(natural, orders, user="app", resolved=())

    assert document.values["name"] == "orders-db.localhost"
    assert "127.80.1.2:5432" in document.text
    assert "works in browsers and curl" in document.text
    assert "As db.corp              : psql" in document.text
    assert "Port 8080 of the target : 127.80.1.2:8080" in document.text
    assert document.values["ports"] == [
        {"host": "127.80.1.2", "port": 8080, "remote_port": 8080},
    ]  # fmt: skip
    assert client_variables(natural, orders, user="app")["PAM_PORT_8080"] == "8080"
