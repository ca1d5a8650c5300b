"""Opening stores: new, current, newer, damaged, readable by others."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from commander.backend.storage import schema
from commander.backend.storage.tables import metadata
from commander.errors import CommanderError, InvalidInput

pytestmark = pytest.mark.integration


def execute(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)
        connection.commit()


async def test_migrations_make_exactly_the_tables(tmp_path: Path) -> None:
    """Nothing is in the code's tables that no migration makes, nor the other way."""
    path = tmp_path / "server.db"
    await schema.upgrade(path)
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        difference = compare_metadata(context, metadata)
    engine.dispose()

    assert difference == []
    assert path.stat().st_mode & 0o777 == 0o600


async def test_current_store_is_left_as_it_is(tmp_path: Path) -> None:
    """A second start changes nothing and needs no migration program."""
    path = tmp_path / "server.db"
    await schema.upgrade(path)
    execute(path, "INSERT INTO changes VALUES (1, 7)")

    await schema.upgrade(path)

    found = await schema.describe(path)
    assert found["schema"] == schema.CURRENT
    assert found["accounts"] == 0


async def test_newer_store_is_refused_with_the_way_out(tmp_path: Path) -> None:
    """An older program never touches what a newer one wrote."""
    path = tmp_path / "server.db"
    await schema.upgrade(path)
    execute(path, "UPDATE alembic_version SET version_num = '9999'")

    with pytest.raises(CommanderError, match="9999, which is newer") as caught:
        await schema.upgrade(path)
    assert "version" in caught.value.hint


async def test_damaged_store_is_refused(tmp_path: Path) -> None:
    """A flipped page, a cut file, a file of another kind."""
    path = tmp_path / "server.db"
    await schema.upgrade(path)
    good = path.read_bytes()
    flipped = good[:4096] + bytes(4096) + good[8192:]

    for bad in (flipped, good[: len(good) // 2], b"x" * 10_000):
        path.write_bytes(bad)
        with pytest.raises(CommanderError):
            await schema.upgrade(path)


async def test_store_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """With the command that repairs it."""
    path = tmp_path / "server.db"
    await schema.upgrade(path)
    path.chmod(0o644)

    with pytest.raises(InvalidInput, match="other users") as caught:
        await schema.upgrade(path)
    assert "chmod 600" in caught.value.hint


async def test_migration_killed_half_way_begins_again(tmp_path: Path) -> None:
    """The schema is there whole or not at all."""
    path = tmp_path / "server.db"
    program = (
        "import asyncio, os, sys, pathlib, sqlalchemy\n"
        "from alembic import op\n"
        "from commander.backend.storage import schema\n"
        "count = 0\n"
        "original = sqlalchemy.engine.default.DefaultDialect.do_execute\n"
        "def execute(self, *values):\n"
        "    global count\n"
        "    count += 1\n"
        "    if count == 15:\n"
        "        os._exit(9)\n"
        "    return original(self, *values)\n"
        "sqlalchemy.engine.default.DefaultDialect.do_execute = execute\n"
        "schema._upgrade(pathlib.Path(sys.argv[1]))\n"
    )
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", program, str(path)], check=False
    )
    assert done.returncode == 9

    await schema.upgrade(path)

    assert (await schema.describe(path))["schema"] == schema.CURRENT


async def test_store_of_the_first_version_is_brought_up_with_what_it_holds(tmp_path: Path) -> None:
    """Rows stay; new columns have their defaults; the tables are those of the code."""
    path = tmp_path / "server.db"
    path.touch(mode=0o600)
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection, connection.begin():
        command.upgrade(schema._config(connection), "0001")
    engine.dispose()
    execute(path, "INSERT INTO applications VALUES ('application', 1, x'01', 7)")
    with closing(sqlite3.connect(path)) as old:
        assert old.execute("SELECT version_num FROM alembic_version").fetchone() == ("0001",)

    await schema.upgrade(path)

    with closing(sqlite3.connect(path)) as store:
        row = store.execute("SELECT application, owner_key FROM applications").fetchone()
    assert row == ("application", b"")
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as found:
        context = MigrationContext.configure(found, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    engine.dispose()
