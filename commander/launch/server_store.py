"""`commander-server status|backup|restore`: what is done beside a running server."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import http.client
import json
import os
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path

from commander.backend import archive
from commander.backend.storage import schema
from commander.errors import Conflict, InvalidInput, NotFound
from commander.files import make_private_directory, read_private
from commander.wire.calls import HEALTH_PATH
from commander.wire.known_server import split_address

_HEALTH_S = 3.0
_SHOWN = (
    "version", "pid", "since", "gateways_online", "devices_connected", "relay_paths",
    "store_errors", "last_problem",
)  # fmt: skip


def status(options: argparse.Namespace) -> int:
    """
    Print what the store holds and whether a server answers; 0 when it does, 6 when it does not.

    Raises NotFound when there is no store.
    """
    store = options.data / archive.STORE
    if not store.exists():
        raise NotFound(f"{options.data} holds no server", hint="give --data DIR")
    report: dict[str, object] = {"data": str(options.data)}
    report |= _health(options.data)
    if report["status"] == "ok":
        report |= _told_by_itself(options.data)
    report |= asyncio.run(schema.describe(store))
    _print(report, options.format)
    return 0 if report["status"] == "ok" else 6


def backup(options: argparse.Namespace) -> int:
    """Copy everything into one file."""
    size = archive.write_backup(options.data, options.file, overwrite=options.force)
    sys.stdout.write(f"wrote {options.file} ({size} bytes); it holds every key of the server\n")
    return 0


def restore(options: argparse.Namespace) -> int:
    """Make the data directory from a backup; refuses while a server uses it."""
    make_private_directory(options.data)
    with _not_running(options.data):
        is_empty = {path.name for path in options.data.iterdir()} <= {"lock"}
        archive.restore_backup(options.file, options.data, overwrite=options.force or is_empty)
    sys.stdout.write(f"restored {options.data}; clients notice when it is older than they are\n")
    return 0


@contextlib.contextmanager
def _not_running(data: Path) -> Iterator[None]:
    handle = os.open(data / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise Conflict(f"a server uses {data}", hint="stop it first") from None
    else:
        yield
    finally:
        os.close(handle)


def _health(data: Path) -> dict[str, object]:
    try:
        address = read_private(data / "address", limit=300).decode("ascii", "replace")
    except FileNotFoundError:
        return {"url": "", "status": "not running"}
    host, port = split_address(address)
    connection = http.client.HTTPSConnection(
        host, port, timeout=_HEALTH_S, context=_own_context(data)
    )
    try:
        connection.request("GET", HEALTH_PATH)
        found = json.loads(connection.getresponse().read(4096))
        return {"url": f"https://{address}", "status": found["status"], "uptime": found["uptime"]}
    except (OSError, http.client.HTTPException, ValueError, KeyError):
        return {"url": f"https://{address}", "status": "not running"}
    finally:
        connection.close()


def _told_by_itself(data: Path) -> dict[str, object]:
    """What the running server wrote of itself, at most ten seconds ago."""
    with contextlib.suppress(FileNotFoundError, InvalidInput, ValueError):
        found = json.loads(read_private(data / "status.json", limit=8192))
        return {name: found[name] for name in _SHOWN if name in found}
    return {}


def _own_context(data: Path) -> ssl.SSLContext:
    """
    Trust this server's CA, or exactly the certificate it was started with.

    The name is not compared: the address was written by the server itself, and nothing but
    its health is asked.
    """
    context = ssl.create_default_context()
    context.check_hostname = False
    if (data / "ca.pem").exists():
        context.load_verify_locations(data / "ca.pem")
    return context


def _print(report: dict[str, object], form: str) -> None:
    if form == "json":
        sys.stdout.write(json.dumps(report) + "\n")
        return
    for name, value in report.items():
        sys.stdout.write(f"{name:<13} {value}\n")
