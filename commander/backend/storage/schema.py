"""
Brings a store to the schema of this version, and refuses one that is newer or damaged.

Alembic is loaded here only, and in a thread, since it takes a while.
"""

from __future__ import annotations

import asyncio
import importlib
import os
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, func, select
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from commander.backend.storage import tables
from commander.errors import CommanderError
from commander.files import PRIVATE_FILE, check_private_file

CURRENT = "0002"
_COUNTED = (
    tables.accounts, tables.sessions, tables.statements, tables.records, tables.applications,
    tables.clients, tables.attachments, tables.audit,
)  # fmt: skip
_MIGRATIONS = Path(__file__).resolve().parent.parent / "migrations"


async def upgrade(path: Path) -> None:
    """
    Make or migrate the store at `path`, 0600.

    Raises CommanderError when it was written by a newer version, is damaged, or cannot be
    written.
    """
    await asyncio.to_thread(_upgrade, path)


async def describe(path: Path) -> dict[str, object]:
    """The schema a store has, and how many of what. Raises CommanderError when it cannot be read."""
    return await asyncio.to_thread(_describe, path)


def _upgrade(path: Path) -> None:
    if not path.exists():
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, PRIVATE_FILE))
    check_private_file(path)
    engine = _engine(path)
    try:
        with engine.connect() as connection, connection.begin():
            _check_whole(connection, path)
            _migrate(connection, path)
    except DBAPIError as error:
        raise CommanderError(
            f"{path} cannot be used: {error.orig}", hint="check space and rights"
        ) from None
    finally:
        engine.dispose()


def _check_whole(connection: Connection, path: Path) -> None:
    found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
    if found != "ok":
        raise CommanderError(
            f"{path} is damaged", hint="restore a backup: commander-server restore FILE --data DIR"
        )


def _migrate(connection: Connection, path: Path) -> None:
    known, found = _known_revisions(), _stored_revision(connection)
    if found and found not in known:
        raise CommanderError(
            f"{path} has schema {found}, which is newer than {CURRENT}",
            hint="start the version of commander-server that wrote it, or a later one",
        )
    if found != CURRENT:
        command = importlib.import_module("alembic.command")
        command.upgrade(_config(connection), "head")


def _known_revisions() -> set[str]:
    files = (_MIGRATIONS / "versions").glob("[0-9]*.py")
    return {file.name.partition("_")[0] for file in files}


def _stored_revision(connection: Connection) -> str:
    tables = connection.exec_driver_sql(
        "SELECT name FROM sqlite_master WHERE name = 'alembic_version'"
    )
    if tables.first() is None:
        return ""
    row = connection.exec_driver_sql("SELECT version_num FROM alembic_version").first()
    return str(row[0]) if row else ""


def _config(connection: Connection) -> Any:
    config = importlib.import_module("alembic.config").Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _describe(path: Path) -> dict[str, object]:
    engine = _engine(path)
    try:
        with engine.connect() as connection:
            found: dict[str, object] = {"schema": _stored_revision(connection)}
            for table in _COUNTED:
                query = select(func.count()).select_from(table)
                found[table.name] = connection.execute(query).scalar_one()
            return found
    except DBAPIError as error:
        raise CommanderError(f"{path} cannot be read: {error.orig}") from None
    finally:
        engine.dispose()


def _engine(path: Path) -> Engine:
    engine = create_engine(URL.create("sqlite", database=str(path)), poolclass=NullPool)
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine


def _prepare(connection: Any, entry: object) -> None:
    connection.isolation_level = None
    connection.execute("PRAGMA busy_timeout=5000")


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")
