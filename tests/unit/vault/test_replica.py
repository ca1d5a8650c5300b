from __future__ import annotations

from commander.clock import ManualClock
from commander.codec import decode, encode
from commander.vault.replica import Snapshot
from commander.vault.sync import restore
from commander.wire.pam import ResourceSettings
from commander.wire.records import RecordData
from commander.wire.seals import FIRST_PREVIOUS
from tests.support.memory_server import MemoryServer
from tests.support.vaults import first_vault


async def test_snapshot_holds_everything() -> None:
    """Bytes and back: the same versions, pins, keys and head."""
    clock = ManualClock()
    vault = await first_vault(MemoryServer(clock), clock)
    record = await vault.create_record(
        RecordData.create("login", "x"), settings=ResourceSettings(protocol="ssh")
    )
    await vault.applications.create("App")
    replica = vault._replica

    again = restore(decode(Snapshot, encode(replica.snapshot())), vault.login.identity)

    assert again.snapshot() == replica.snapshot()
    assert again.keys == replica.keys
    assert again.state.head == replica.state.head
    assert again.record_pin(record.uid) == replica.record_pin(record.uid)
    assert again.settings_pin(record.uid)[0] is not None
    assert again.folder_pin(vault.view.root)[0] is not None


async def test_what_was_never_seen_has_no_pin() -> None:
    """Its first revision follows nothing."""
    clock = ManualClock()
    replica = (await first_vault(MemoryServer(clock), clock))._replica
    nothing = (None, FIRST_PREVIOUS)

    assert replica.record_pin("x") == replica.settings_pin("x") == nothing
    assert replica.folder_pin("x") == nothing
    assert replica.folder_key("x") is None
