"""The server's own keys and its set-up secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from commander.backend import identity
from commander.backend.core import open_core
from commander.backend.storage import identity as rows
from commander.clock import ManualClock
from commander.crypto.kdf import sha256
from commander.ids import is_uid
from commander.ksm.errors import BUILT_IN_KEY_IDS

pytestmark = pytest.mark.integration


async def test_keys_are_made_once_and_shown_by_nothing(tmp_path: Path) -> None:
    """A second start has the first's; a repr has none."""
    first = await open_core(tmp_path / "server.db", ManualClock())
    await first.close()
    second = await open_core(tmp_path / "server.db", ManualClock())
    await second.close()

    assert first.identity.uid == second.identity.uid
    assert is_uid(first.identity.uid)
    assert first.identity.ksm.public == second.identity.ksm.public
    assert first.identity.ksm_key_id not in BUILT_IN_KEY_IDS
    assert "Key" not in repr(first.identity).replace(first.identity.uid, "")


async def test_setup_secret_is_kept_as_a_digest_only(tmp_path: Path) -> None:
    """The newest counts."""
    core = await open_core(tmp_path / "server.db", ManualClock())
    assert not await identity.has_setup_secret(core.database)

    await identity.new_setup_secret(core.database)
    secret = await identity.new_setup_secret(core.database)

    async with core.database.reading() as connection:
        assert await rows.setup_hash(connection) == sha256(secret)
    assert await identity.has_setup_secret(core.database)
    await core.close()
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("server.db*"))
    assert secret not in stored
