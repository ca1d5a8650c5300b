"""What a started tunnel looks like: the endpoint, a ready client line, variables for programs."""

from __future__ import annotations

import shlex

from commander.hosting.model import TunnelInfo
from commander.plugin.results import Document, Plain
from commander.wire.records import RecordData

# The client program and default port of each kind of database, by `databaseType`.
_CLIENT_OF = {"postgresql": "psql", "mysql": "mysql", "mariadb": "mysql"}
_PORTS = {22: "ssh", 5432: "psql", 3306: "mysql", 80: "curl", 8080: "curl"}


def describe_endpoint(tunnel: TunnelInfo, record: RecordData, *, user: str) -> Document:
    """The box with the endpoint, a client line and what to type next; as JSON its values."""
    connect = connect_line(tunnel, record, user=user)
    values: dict[str, Plain] = {
        "tunnel_id": tunnel.tunnel,
        "record_uid": tunnel.record,
        "record": tunnel.title,
        "host": tunnel.local_host,
        "port": tunnel.local_port,
        "remote": tunnel.remote,
        "path": tunnel.path,
        "gateway_uid": tunnel.gateway,
        "pid": tunnel.pid,
        "connect": connect,
    }
    return Document(values, text=_box(tunnel, connect))


def _box(tunnel: TunnelInfo, connect: str) -> str:
    line = (
        f"Endpoint {tunnel.tunnel}: Listening on: {_address(tunnel.local_host)}:{tunnel.local_port}"
    )
    border = "+" + "-" * (len(line) + 4) + "+"
    steps = [("Connect", connect)] if connect else []
    steps += [
        ("View all open tunnels", "pam tunnel list"),
        ("Tail logs on open tunnel", f"pam tunnel tail {tunnel.tunnel}"),
        ("Stop a tunnel", f"pam tunnel stop {tunnel.tunnel}"),
    ]
    told = [f"{name:<24}: {value}" for name, value in steps]
    return "\n".join(["", border, f"|  {line}  |", border, *told])


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
    host, port = tunnel.local_host, str(tunnel.local_port)
    match client_program(tunnel, record):
        case "psql":
            words = ["psql", "-h", host, "-p", port, *(["-U", user] if user else [])]
            words += [name] if (name := _database(record)) else []
        case "mysql":
            words = ["mysql", "-h", host, "-P", port, *(["-u", user] if user else [])]
            words += ["-p", *([name] if (name := _database(record)) else [])]
        case "ssh":
            words = ["ssh", "-p", port, f"{user}@{host}" if user else host]
        case "curl":
            words = ["curl", f"http://{_address(host)}:{port}/"]
        case _:
            return ""
    return shlex.join(words)


def client_variables(tunnel: TunnelInfo, record: RecordData, *, user: str) -> dict[str, str]:
    """Variables for `--run`: PAM_HOST, PAM_PORT and those that the fitting client reads."""
    host, port = tunnel.local_host, str(tunnel.local_port)
    variables = {"PAM_HOST": host, "PAM_PORT": port, "PAM_TUNNEL": tunnel.tunnel}
    match client_program(tunnel, record):
        case "psql":
            own = {"PGHOST": host, "PGPORT": port, "PGUSER": user, "PGDATABASE": _database(record)}
        case "mysql":
            own = {"MYSQL_HOST": host, "MYSQL_TCP_PORT": port}
        case _:
            own = {}
    return variables | {name: value for name, value in own.items() if value}


def _database(record: RecordData) -> str:
    return record.text("text", "connectDatabase") or record.text("connectDatabase")
