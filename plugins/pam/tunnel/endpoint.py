"""What a started tunnel looks like: the endpoint, a ready client line, variables for programs."""

from __future__ import annotations

import re
import shlex

from commander.hosting.model import TunnelInfo
from commander.plugin.results import Document, Plain
from commander.wire.records import RecordData
from plugins.pam.tunnel.local_names import certificate_line, explain_name

# The client program and default port of each kind of database, by `databaseType`.
_CLIENT_OF = {"postgresql": "psql", "mysql": "mysql", "mariadb": "mysql"}
_PLAIN = re.compile(r"[\w.][\w.@+$\\-]*\Z")
_PORTS = {22: "ssh", 5432: "psql", 3306: "mysql", 80: "curl", 8080: "curl"}


def describe_endpoint(
    tunnel: TunnelInfo, record: RecordData, *, user: str, resolved: tuple[str, ...] = ()
) -> Document:
    """
    The box with the endpoint, a client line and what to type next; as JSON its values.

    `resolved` is what this machine says about a natural endpoint's name.
    """
    connect = connect_line(tunnel, record, user=user)
    values: dict[str, Plain] = {
        "tunnel_id": tunnel.tunnel,
        "record_uid": tunnel.record,
        "record": tunnel.title,
        "host": "" if tunnel.unix else tunnel.local_host,
        "port": tunnel.local_port,
        "unix": tunnel.unix,
        "name": tunnel.local_name,
        "ports": [
            {"host": port.host, "port": port.port, "remote_port": port.remote_port}
            for port in tunnel.also
            if port.remote_port
        ],
        "remote": tunnel.remote,
        "path": tunnel.path,
        "gateway_uid": tunnel.gateway,
        "pid": tunnel.pid,
        "connect": connect,
    }
    steps = [("Connect", connect)] if connect else []
    steps += [
        (f"Port {port.remote_port} of the target", f"{_address(port.host)}:{port.port}")
        for port in tunnel.also
        if port.remote_port
    ]
    steps += _name_lines(tunnel, record, resolved)
    return Document(values, text=_box(tunnel, steps))


def _name_lines(
    tunnel: TunnelInfo, record: RecordData, resolved: tuple[str, ...]
) -> list[tuple[str, str]]:
    if not tunnel.local_name:
        return []
    host, port = tunnel.local_host, tunnel.local_port
    is_beside = any((one.host, one.port) == ("127.0.0.1", port) for one in tunnel.also)
    lines = explain_name(tunnel.local_name, host, port, resolved=resolved, is_beside=is_beside)
    certificate = certificate_line(tunnel.remote, host, port, client_program(tunnel, record))
    return [*lines, certificate] if certificate else lines


def _box(tunnel: TunnelInfo, steps: list[tuple[str, str]]) -> str:
    line = f"Endpoint {tunnel.tunnel}: Listening on: {local_address(tunnel)}"
    border = "+" + "-" * (len(line) + 4) + "+"
    steps = [
        *steps,
        ("View all open tunnels", "pam tunnel list"),
        ("Tail logs on open tunnel", f"pam tunnel tail {tunnel.tunnel}"),
        ("Stop a tunnel", f"pam tunnel stop {tunnel.tunnel}"),
    ]
    told = [f"{name:<24}: {value}" if name else f"{'':<26}{value}" for name, value in steps]
    return "\n".join(["", border, f"|  {line}  |", border, *told])


def local_address(tunnel: TunnelInfo) -> str:
    """Where a tunnel listens, as people write it."""
    if tunnel.unix:
        return tunnel.unix
    if not tunnel.local_port:
        return "stdin and stdout"
    return f"{_address(tunnel.local_host)}:{tunnel.local_port}"


def _address(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def client_program(tunnel: TunnelInfo, record: RecordData) -> str:
    """Which client fits the target: psql, mysql, ssh, curl, or "" when nothing says."""
    if record.type == "pamDatabase":
        named = _CLIENT_OF.get(record.text("databaseType").lower(), "")
        if named:
            return named
    port = int(tunnel.remote.rpartition(":")[2] or 0)
    return _PORTS.get(port, "ssh" if record.type == "pamMachine" else "")


def connect_line(tunnel: TunnelInfo, record: RecordData, *, user: str) -> str:
    """A line to paste into another terminal."""
    if tunnel.unix:
        return shlex.join(_unix_words(tunnel, record, user))
    host, port = tunnel.local_host, str(tunnel.local_port)
    match client_program(tunnel, record):
        case "psql":
            words = ["psql", "-h", host, "-p", port, *_option("-U", user), *_for_psql(record)]
        case "mysql":
            words = [
                "mysql",
                "-h",
                host,
                "-P",
                port,
                *_option("-u", user),
                "-p",
                *_for_mysql(record),
            ]
        case "ssh":
            words = ["ssh", "-p", port, _ssh_place(user, host)]
        case "curl":
            words = ["curl", f"http://{_address(host)}:{port}/"]
        case _:
            return ""
    return shlex.join(words)


def _unix_words(tunnel: TunnelInfo, record: RecordData, user: str) -> list[str]:
    match client_program(tunnel, record):
        case "psql" if place := _postgres_socket(tunnel.unix):
            words = ["psql", "-h", place[0], "-p", place[1]]
            return [*words, *_option("-U", user), *_for_psql(record)]
        case "mysql":
            words = ["mysql", "-S", tunnel.unix, *_option("-u", user), "-p"]
            return [*words, *_for_mysql(record)]
        case "ssh":
            host = tunnel.remote.rpartition(":")[0]
            proxy = f"ProxyCommand=nc -U {shlex.quote(tunnel.unix)}"
            return ["ssh", "-o", proxy, _ssh_place(user, host if _PLAIN.match(host) else "target")]
        case "curl":
            return ["curl", "--unix-socket", tunnel.unix, "http://localhost/"]
        case _:
            return []


# Who may write a record is not who pastes the line: its values must stay values, to the shell, to
# the client's options, and to libpq, which reads a database name with = or :// as where to connect.
def _option(flag: str, value: str) -> list[str]:
    return [flag, value] if value.isprintable() and value else []


def _ssh_place(user: str, host: str) -> str:
    return f"{user}@{host}" if _PLAIN.match(user) else host


def _for_psql(record: RecordData) -> list[str]:
    name = _database(record)
    if not name.isprintable() or not (name.startswith("-") or "=" in name or "://" in name):
        return _word(name)
    quoted = name.replace("\\", "\\\\").replace("'", "\\'")
    return ["-d", f"dbname='{quoted}'"]


def _for_mysql(record: RecordData) -> list[str]:
    name = _database(record)
    return _option("-D", name) if name.startswith("-") else _word(name)


def _word(value: str) -> list[str]:
    return [value] if value and value.isprintable() else []


def _postgres_socket(path: str) -> tuple[str, str] | None:
    """The directory and port under which libpq finds a socket: it must be called `.s.PGSQL.PORT`."""
    directory, _, name = path.rpartition("/")
    port = name.removeprefix(".s.PGSQL.")
    return (directory, port) if port != name and port.isdecimal() else None


def client_variables(tunnel: TunnelInfo, record: RecordData, *, user: str) -> dict[str, str]:
    """
    Variables for `--run`: PAM_HOST and PAM_PORT, or PAM_SOCKET for a Unix socket, PAM_PORT_N for the
    target's further port N, and those that the fitting client reads.
    """
    host, port, program = tunnel.local_host, str(tunnel.local_port), client_program(tunnel, record)
    variables = {"PAM_TUNNEL": tunnel.tunnel}
    if tunnel.unix:
        variables["PAM_SOCKET"] = tunnel.unix
        host, port = (_postgres_socket(tunnel.unix) if program == "psql" else None) or ("", "")
    else:
        variables |= {"PAM_HOST": host, "PAM_PORT": port}
        variables |= {
            f"PAM_PORT_{one.remote_port}": str(one.port) for one in tunnel.also if one.remote_port
        }
    own: dict[str, str] = {}
    if program == "psql" and host:
        own = {"PGHOST": host, "PGPORT": port, "PGUSER": user, "PGDATABASE": _database(record)}
    elif program == "mysql":
        own = {"MYSQL_HOST": host, "MYSQL_TCP_PORT": port, "MYSQL_UNIX_PORT": tunnel.unix}
    return variables | {name: value for name, value in own.items() if value}


def _database(record: RecordData) -> str:
    return record.text("text", "connectDatabase") or record.text("connectDatabase")
